"""Files and texts as people really have them: each was once read wrongly, by this program or by others.

A case stands for its kind; beside it are its neighbours. `cases/` holds the small files, all made by hand
or by machine.
"""

from __future__ import annotations

import html
import json
import pickle
import random
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent import Analyzer
from trivalent.cli.main import main
from trivalent.core.assets import DATA
from trivalent.core.csv_table import CsvReader
from trivalent.core.errors import DataError, InputError, MediaError, TextError, TranscriptError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.plain_text import decode, plain
from trivalent.core.types import LABELS, Modality, Status
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.signs import unknown_signs
from trivalent.features.text import encode, normalize, split_to_fit, tokenizer
from trivalent.lab.datasets.own import OwnOptions
from trivalent.lab.datasets.own_table import read_own_table
from trivalent.lab.datasets.registry import find_dataset
from trivalent.media.probe import riff_share
from trivalent.media.recording import open_recording
from trivalent.speech.heard import open_heard
from trivalent.speech.transcripts import Cue, parse_transcript, read_transcript
from trivalent.work.batch import Worker, analyze_task, plan, read_record
from trivalent.work.isolated import Limits
from trivalent.work.sources import find_sources

SAMPLE = DATA / "samples" / "sample.mp4"
CASES = Path(__file__).parent / "cases"
THREE = (
    Cue("The soup was cold.", 0.5, 2.0),
    Cue("The waiter was rude.", 2.5, 4.0),
    Cue("But the cake was wonderful!", 4.5, 6.0),
)
GARDEN = ("the garden looks lovely today", "but the fence is broken again", "and nobody wants to fix it")


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer(modalities=["text"], threads=1)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One child process for all."""
    one = Worker()
    yield one
    one.close()


def cues(text: str, suffix: str = ".srt") -> list[str]:
    return [cue.text for cue in parse_transcript(text.encode(), suffix=suffix, name="talk").cues]


# -- subtitles ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-blank-lines.srt", THREE),
        ("no-blank-lines.vtt", THREE),
        ("header-no-blank.vtt", THREE[:2]),
        ("html-entities.srt", (Cue("I don't like the soup & the bread.", 0.5, 2.0),)),
        ("cp1252-quotes.srt", (Cue("I don’t like this soup at all – it’s cold.", 0.5, 2.0),)),
    ],
)
def test_cues(name, expected):
    assert read_transcript(CASES / "subtitles" / name).cues == expected


@pytest.mark.parametrize("name", ["youtube-auto-space-line.vtt", "youtube-auto-converted.srt"])
def test_rolling_captions_once(name):
    found = read_transcript(CASES / "subtitles" / name).cues
    assert tuple(cue.text for cue in found) == GARDEN
    assert [(cue.start_s, cue.end_s) for cue in found] == [(0.16, 2.07), (2.08, 4.39), (4.4, 6.5)]


def stamped(*texts: str, end: str = "\n\n", number: bool = True) -> str:
    """SubRip, a cue in every two seconds."""
    return end.join(
        (f"{i + 1}\n" if number else "") + f"00:00:{2 * i:02},000 --> 00:00:{2 * i + 2:02},000\n{text}"
        for i, text in enumerate(texts)
    )


def test_only_the_last_blank_line_is_missing():
    text = stamped("One.", "Two.") + "\n3\n00:00:04,000 --> 00:00:06,000\nThree."
    assert cues(text) == ["One.", "Two.", "Three."]


def test_blanks_stand_for_an_empty_line():
    assert cues(stamped("One.", "Two.", "Three.", end="\n \t\n")) == ["One.", "Two.", "Three."]
    named = "WEBVTT\n\nintro\n00:01.000 --> 00:02.000\nOne.\n  \noutro\n00:03.000 --> 00:04.000\nTwo.\n"
    assert cues(named, ".vtt") == ["One.", "Two."]


def test_a_number_that_is_said_stays():
    assert cues(stamped("Count!", "2", "3", number=False, end="\n")) == ["Count!", "2", "3"]
    assert cues(stamped("Give me\n10", "Twenty\n20")) == ["Give me 10", "Twenty 20"]


def test_cues_after_a_header_that_goes_on():
    text = (
        "WEBVTT\nKind: captions\n1\n00:00:00.500 --> 00:00:02.000\nOne.\n2\n00:02.500 --> 00:04.000\nTwo."
    )
    assert cues(text, ".vtt") == ["One.", "Two."]
    assert cues("\n\n" + text, ".vtt") == ["One.", "Two."]


def test_a_comment_is_no_cue():
    text = "WEBVTT\n\nNOTE\n00:00.000 --> 00:01.000\ntaken out\n\n00:01.000 --> 00:02.000\nOne.\n"
    assert cues(text, ".vtt") == ["One."]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (stamped("One.") + "\n\nnobody's words\n\n" + stamped("Two."), 5),
        (stamped("One.") + "\n2\n00:00:02,000 --> 00:00:0x,000\nTwo.", 5),
    ],
)
def test_what_is_in_no_cue_is_an_error_with_its_line(text, line):
    with pytest.raises(TranscriptError, match=f"line {line} of talk"):
        parse_transcript(text.encode(), suffix=".srt", name="talk")


def test_a_file_whose_line_ends_were_converted_twice():
    assert cues(stamped("One.", "Two.").replace("\n", "\r\r\n")) == ["One.", "Two."]


def test_times_without_milliseconds():
    text = "1\n00:00:01 --> 00:00:02\nOne.\n"
    assert parse_transcript(text.encode(), suffix=".srt").cues == (Cue("One.", 1.0, 2.0),)


def test_three_lines_that_roll():
    assert cues(stamped("a one", "a one\nb two", "a one\nb two\nc three", "b two\nc three\nd four")) == [
        "a one",
        "b two",
        "c three",
        "d four",
    ]


def test_captions_that_grow_word_by_word():
    assert cues(stamped("so", "so here", "so here we", "so here we\ngo now")) == [
        "so",
        "here",
        "we",
        "go now",
    ]


def test_what_somebody_repeats_stays():
    said = ["No.", "No.", "No.\nNever!", "Why not?", "I said so.", "Did you?"]
    assert cues(stamped(*said)) == [" ".join(line.split()) for line in said]


# -- encodings ----------------------------------------------------------------------------

QUOTED = "I don’t like it – it’s “bad”."


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "mac_roman"],
)
def test_every_encoding(encoding):
    read = decode(QUOTED.encode(encoding))
    assert read.text == QUOTED
    assert bool(read.warnings("talk")) == (encoding in ("cp1252", "mac_roman"))


def test_the_bytes_that_windows_leaves_open():
    assert decode(b"a\x81b\xe9").text == "a\x81bé"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp1252", "mac_roman"])
def test_transcripts_of_every_encoding(encoding):
    text = stamped(QUOTED, "And so on.")
    assert parse_transcript(text.encode(encoding), suffix=".srt").cues[0].text == QUOTED


def test_a_text_file_tells_that_its_encoding_is_guessed(analyzer):
    analysis = analyzer.analyze(CASES / "texts" / "cp1252_review.txt")
    assert analysis.utterances[0].text == "I don’t like it – it isn’t what I’d ordered… “great” my foot."
    assert "Windows-1252" in analysis.warnings[0]


# -- texts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("softhyphen.txt", "This film was terrible and boring."),
        ("ligatures.txt", "The film was difficult, unsatisfying and offensive."),
        ("entities.txt", "I don’t love it & I won't buy it again"),
    ],
)
def test_texts(analyzer, name, text):
    analysis = analyzer.analyze(CASES / "texts" / name)
    assert analysis.overall.label == "negative"
    assert analysis.overall.probabilities == pytest.approx(
        analyzer.analyze_text(text).overall.probabilities
    )
    assert analysis.utterances[0].text == text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Ｔｅｒｒｉｂｌｅ！", "Terrible!"),
        ("𝓽𝓮𝓻𝓻𝓲𝓫𝓵𝓮 𝐟𝐢𝐥𝐦 ℝ𝕖𝕒𝕝", "terrible film Real"),
        ("ⓣⓔⓡ 🅣🅔🅡 🅃🄴🅁", "ter TER TER"),
        ("don\x92t, don´t, donʼt, don`t, don\ufffdt", "don’t, don't, don't, don't, don't"),
        ("I donâ€™t like cafÃ©s", "I don’t like cafés"),
        ("ter\u00ad\nrible\u2060 b\u200bo\u200cr\u200ding\ufeff", "terrible boring"),
        ("well‑known", "well-known"),
        ("&amp;#39;tis &lt;b&gt;so&lt;/b&gt;&nbsp;bad<br/>", "'tis so bad"),
        ("a\u2800b\u3000c\u00a0d\u2028e", "a b c d e"),
        ("so ba\u0336d", "so ba\u0336d"),  # a stroke through a letter is an accent to the vocabulary
        # what must stay
        ("AT&T, R&D; a < b > c, x&copy=1", "AT&T, R&D; a < b > c, x&copy=1"),
        ("½ of the “best” café… Brand™ №1, m²", "½ of the “best” café… Brand™ №1, m²"),
        ("今天很好，谢谢！", "今天很好，谢谢！"),
        ("👩\u200d🚀 naïve", "👩\u200d🚀 naïve"),
    ],
)
def test_plain(written, meant):
    assert plain(written) == meant
    assert plain(meant) == meant


def test_no_sign_of_the_vocabulary_is_spelt():
    """Reading emoji must not change texts whose signs the vocabulary has."""
    signs = [t for t in tokenizer().get_vocab() if len(t) == 1 and unicodedata.category(t) == "So"]
    assert [s for s in signs if normalize(s) != s] == ["♥"]
    assert not unknown_signs("".join(signs))


LONG = "wonderful,great,lovely," * 60 + "but,in,the,end,it,was,terrible,awful,and,a,waste,of,money"


def test_a_long_text_without_blanks_is_read_to_its_end(analyzer):
    pieces = split_to_fit(LONG)
    assert "".join(pieces) == LONG
    assert all(len(ids) < 129 for ids in encode(pieces))
    whole = encode([LONG], max_tokens=10**6)[0]
    assert [t for ids in encode(pieces) for t in ids[1:-1]] == whole[1:-1]
    analysis = analyzer.analyze(CASES / "texts" / "commas_no_spaces.txt")
    assert analysis.overall.label == "negative"
    assert (
        "".join(u.text for u in analysis.utterances)
        == (CASES / "texts" / "commas_no_spaces.txt").read_text()
    )


@pytest.mark.parametrize("link", ["/", "-", "_", "…", "|", ";", "，"])
def test_words_that_any_sign_links(link):
    pieces = split_to_fit(link.join(["good"] * 400))
    assert len(pieces) > 3
    assert "".join(pieces).count("good") == 400
    assert all(len(ids) < 129 for ids in encode(pieces))


@pytest.mark.parametrize(
    ("bad", "good"),
    [("😡😡😡", "😍😍😍"), ("👎", "👍"), ("💔", "❤️"), ("😡", "❤"), ("👎🏿", "👍🏻"), ("🤦\u200d♀️", "🎉")],
)
def test_emoji_say_opposite_things(analyzer, bad, good):
    assert analyzer.analyze_text(f"my new phone {bad}").overall.label == "negative"
    assert analyzer.analyze_text(f"my new phone {good}").overall.label == "positive"
    assert analyzer.analyze_text(f"my new phone{bad * 9}!").overall.label == "negative"


def test_signs_that_nobody_understands_have_no_weight(analyzer):
    told, bare = analyzer.analyze_text("my new phone 🦖🦖 🪗"), analyzer.analyze_text("my new phone")
    assert np.array_equal(told.overall.probabilities, bare.overall.probabilities)
    assert "not understood, and left out: 🦖 🪗" in str(told.warnings)
    assert not bare.warnings
    with pytest.raises(TextError):
        analyzer.analyze_text("🦖🦖")


SENTENCES = (
    "The waiter was difficult, offensive and slow; I don't want to come back.",
    "I love how this film turned out, it's fantastic & fun!",
    "We met at five in the office and talked about the budget.",
)
_LIGATURES = {"ffi": "ﬃ", "ff": "ﬀ", "fi": "ﬁ", "fl": "ﬂ"}
_FORMAT = ("\u00ad", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u200e")


def disguised(text: str, how: str, seed: int) -> str:
    """Write a text in another way that a reader does not see."""
    rng = random.Random(seed)
    if how == "ligatures":
        for letters, one in _LIGATURES.items():
            text = text.replace(letters, one)
        return text
    out = []
    for i, character in enumerate(text):
        chosen = rng.random() < 0.4
        if how == "format" and chosen and text[i + 1 : i + 2].strip():  # a soft hyphen joins lines
            character += rng.choice(_FORMAT)
        elif how == "full-width" and chosen and character.isalnum() and character.isascii():
            character = chr(ord(character) + 0xFEE0)
        elif how == "entities" and chosen and not character.isspace():
            character = (
                f"&#{ord(character)};" if character.isalnum() else html.escape(character, quote=True)
            )
        elif how == "blanks" and character == " ":
            character = rng.choice([" ", "  ", "\u00a0", "\t", " \u2009", "&nbsp;"])
        elif how == "line breaks" and character == " ":
            character = rng.choice([" ", "\n", "\r\n", " \n ", "\n\n"])
        out.append(character)
    return "".join(out)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SENTENCES),
    st.lists(
        st.sampled_from(["format", "full-width", "entities", "ligatures", "blanks", "line breaks"]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    st.integers(0, 2**16),
)
def test_a_disguise_changes_nothing(analyzer, text, ways, seed):
    expected = analyzer.analyze_text(text).overall.probabilities
    order = ["ligatures", "full-width", "format", "line breaks", "blanks", "entities"]
    for how in sorted(ways, key=order.index):
        text = disguised(text, how, seed)
    assert np.allclose(analyzer.analyze_text(text).overall.probabilities, expected, atol=0.01)


# -- tables -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["list_space.csv", "list_utf16srt.csv", "list_1252srt.csv", "capitals.csv", "mark.csv"]
)
def test_lists(tmp_path, worker, name):
    """The transcript of a list is found whatever its column looks like, and read in any encoding."""
    shutil.copytree(CASES / "batch", tmp_path, dirs_exist_ok=True)
    shutil.copy(SAMPLE, tmp_path / "talk.wav")
    (tmp_path / "capitals.csv").write_text("ID, PATH ,Transcript\n\n1,talk.wav,  talk.srt\n")
    (tmp_path / "mark.csv").write_text("\ufeffpath,transcript\r\ntalk.wav,talk.srt\r\n", encoding="utf-8")
    sources = find_sources(tmp_path / name)
    assert sources.paths == [tmp_path / "talk.wav"]
    options = AnalyzerOptions(modalities=("text",), threads=1)
    (tmp_path / "out").mkdir()
    outcome = plan(sources, tmp_path / "out", options=options, limits=Limits())
    assert analyze_task(outcome.tasks[0], worker).reason is None
    analysis = read_record(outcome.tasks[0].record)["analysis"]
    first, second = (u["text"] for u in analysis["utterances"])
    old = name == "list_1252srt.csv"
    assert (first, second) == ("The soup was wonderful.", f"I{'’d' if old else ''} love this waiter.")
    assert ("Windows-1252" in str(analysis["warnings"])) == old


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            (CASES / "batch/list_plural.csv").read_text(),
            "the column transcript in line 1 .*'transcripts'; rename",
        ),
        ("path,transcript_file\na,b\n", "the column transcript in line 1 .*'transcript_file'; rename"),
        ("paths\na\n", "the column path in line 1 .*'paths'; rename"),
        ("path;transcript\na;b\n", "separate the cells by commas"),
        ("path,path\na,b\n", "the column path once"),
        ("path,transcript\na,b,c\n", "2 cells in line 2 .*quotes"),
        ("path\nGr\u00fc\u00dfe.wav\n", 'UTF-8 in line 2 .*"CSV UTF-8"'),
        ("", "a header path in"),
    ],
)
def test_lists_that_would_be_read_wrongly(tmp_path, table, message):
    path = tmp_path / "list.csv"
    path.write_bytes(table.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        find_sources(path)


def test_columns_that_are_not_used_are_named(tmp_path):
    (tmp_path / "list.csv").write_text("path,speaker,srt\na.wav,ann,a.srt\n")
    assert find_sources(tmp_path / "list.csv").unused == ("speaker", "srt")


def test_one_of_two_columns(tmp_path):
    reader = CsvReader(("path", "label or score"), ("speaker",), InputError)
    (tmp_path / "a.csv").write_text("path,score,speaker\na,1.5,ann\n")
    assert reader.read(tmp_path / "a.csv").rows[0].cells["score"] == "1.5"
    (tmp_path / "a.csv").write_text("path,speaker\na,ann\n")
    with pytest.raises(InputError, match="the columns path and label or score"):
        reader.read(tmp_path / "a.csv")


def test_texts_of_a_folder_are_taken_on_demand(tmp_path):
    for name in ("talk.wav", "talk.txt", "LICENSE.txt", "README.md"):
        (tmp_path / name).write_text("x")
    found = find_sources(tmp_path)
    assert (found.shown, found.ignored, found.texts) == (["talk.wav"], 3, 3)
    assert len(find_sources(tmp_path, texts=True).paths) == 4
    (tmp_path / "talk.wav").unlink()
    with pytest.raises(InputError, match="--texts"):
        find_sources(tmp_path)


def test_codes_of_classes_need_a_meaning(tmp_path):
    table = CASES / "own_csv" / "codes01.csv"
    with pytest.raises(DataError, match=r"got only 0, 1, .*--label-map"):
        read_own_table(table)
    assert read_own_table(table, {"0": "negative", "1": "positive"}).labels.tolist() == [0, 2] * 6


@pytest.mark.parametrize("codes", [(0, 1, 2), (1, 2, 3), (0, 1)])
def test_codes_of_classes_in_a_pickle(tmp_path, codes):
    def part(first, n):
        return {
            "id": [f"v{first + i}$_$0" for i in range(n)],
            "raw_text": ["a"] * n,
            "text": np.ones((n, 2, 3)),
            "regression_labels": np.array([codes[i % len(codes)] for i in range(n)], float),
        }

    path = tmp_path / "codes.pkl"
    path.write_bytes(pickle.dumps({"train": part(0, 6), "valid": part(10, 3), "test": part(20, 3)}))
    with pytest.raises(DataError, match=r"look like codes of classes; .*--label-map"):
        find_dataset(str(path)).read(tmp_path)
    meaning = dict(zip(map(str, codes), LABELS, strict=False))
    data = find_dataset(str(path), own=OwnOptions(label_map=meaning)).read(tmp_path)
    assert data.labels[:2].tolist() == [0, 1]
    assert np.isnan(data.scores).all()


# -- OpenFace -----------------------------------------------------------------------------


def test_one_of_two_faces():
    table = read_openface(CASES / "openface" / "two_faces_multi.csv")
    assert table.column("AU12_r").tolist() == [3.0] * 5  # the surer one, whole
    assert table.column("AU01_r").tolist() == [0.1] * 5
    assert "2 faces at a time; face 0" in str(table.meta["warnings"])


def test_the_surer_face_whatever_its_number(tmp_path):
    text = (CASES / "openface" / "two_faces_multi.csv").read_text().replace("0.98", "0.60")
    (tmp_path / "a.csv").write_text(text)
    assert read_openface(tmp_path / "a.csv").column("AU01_r").tolist() == [2.5] * 5


@pytest.mark.parametrize(
    "none", ["-nan(ind)", "nan(snan)", "1.#QNAN", "-1.#IND00", "1.#INF", "-inf", "NaN"]
)
def test_what_windows_writes_for_no_number(tmp_path, none):
    text = (CASES / "openface" / "windows_nan_ind.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace("-nan(ind)", none))
    table = read_openface(tmp_path / "a.csv")
    assert np.isnan(table.column("AU12_r")).tolist() == [False, False, True, False, False]
    assert table.meta == {"frames": 5, "frames_without_face": 1}
    (tmp_path / "b.csv").write_text(text.replace("-nan(ind)", none).replace("0.31, 0,", "0.91, 1,"))
    assert read_openface(tmp_path / "b.csv").meta["no_number"] == 2


# -- recordings ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Some seconds of speech, 16 kHz."""
    audio = open_recording(SAMPLE).audio
    assert audio is not None
    return audio.samples


def write_sound(
    path: Path, *tracks: np.ndarray, codec: str = "pcm_s16le", late_s: float = 0.0, names: tuple = ()
) -> Path:
    """Write sound tracks of 16 kHz, int16 of shape (n,) or (2, n); the second may begin late."""
    with av.open(str(path), "w") as out:
        streams = []
        for i, samples in enumerate(tracks):
            layout = "stereo" if samples.ndim == 2 else "mono"
            stream = out.add_stream(codec, rate=16000, layout=layout)
            if names:
                stream.metadata["language"] = names[i]
            streams.append((stream, np.atleast_2d(samples), layout))
        for i, (stream, samples, layout) in enumerate(streams):
            packed = np.ascontiguousarray(samples.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.pts = 16000, round(16000 * late_s * i)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                out.mux(packet)
    return path


@pytest.mark.parametrize("gain", [-1.0, -0.9])
@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", "wav"), ("flac", "flac"), ("aac", "m4a")])
def test_channels_that_cancel_each_other(tmp_path, speech, gain, codec, suffix):
    pair = np.stack([(gain * speech).astype(np.int16), speech])
    recording = open_recording(write_sound(tmp_path / f"talk.{suffix}", pair, codec=codec))
    assert "cancel each other (opposite phase): channel" in str(recording.warnings)
    assert recording.audio is not None
    whole, heard = speech.astype(float).std(), recording.audio.samples.astype(float).std()
    assert heard == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("right", [1.0, 0.0, -0.4])
def test_channels_that_do_not_cancel_stay_mixed(tmp_path, speech, right):
    pair = np.stack([speech, (right * speech).astype(np.int16)])
    recording = open_recording(write_sound(tmp_path / "talk.wav", pair))
    assert not recording.warnings
    mixed = pair.astype(float).mean(axis=0).std()
    assert recording.audio.samples.astype(float).std() == pytest.approx(mixed, rel=0.05)


def test_the_track_with_speech_is_heard(tmp_path, speech):
    noise = np.random.default_rng(0).integers(-900, 900, len(speech)).astype(np.int16)
    path = write_sound(tmp_path / "game.mkv", noise, speech, names=("fre", "eng"))
    heard = open_heard(path)
    assert heard.track == 2
    assert "track 2 was analysed, as there is more speech in it than in track 1" in str(heard.warnings)
    assert [track.language for track in heard.tracks] == ["fre", "eng"]
    assert open_heard(path, audio_track=1).track == 1
    assert not open_heard(path, audio_track=1).warnings
    with pytest.raises(MediaError, match="which has 2, got 3"):
        open_heard(path, audio_track=3)
    assert open_heard(write_sound(tmp_path / "one.mkv", speech)).warnings == []


def test_of_two_tracks_with_speech_the_first_stays(tmp_path, speech):
    heard = open_heard(write_sound(tmp_path / "film.mkv", speech, speech[::-1].copy()))
    assert heard.track == 1
    assert "has 2 sound tracks; track 1 was analysed" in str(heard.warnings)


def test_a_late_track_cuts_nothing_short(tmp_path, speech):
    """A subtitle, or a jingle at the end: the file reaches as far as it says."""
    path = write_sound(tmp_path / "talk.mkv", speech, speech[:16000], late_s=60.0)
    with av.open(str(path)) as container:
        assert container.duration > 59e6
    assert open_recording(path).warnings == []


@pytest.mark.parametrize("size", [0x7FFFF024, 0x7FFFFFFF, 0x80000024, 0xFFFFFFFF, 0xFFFFFFF7, 0])
def test_sizes_that_a_pipe_leaves_open(tmp_path, speech, size):
    path = write_sound(tmp_path / "pipe.wav", speech)
    data = bytearray(path.read_bytes())
    data[4:8] = size.to_bytes(4, "little")
    at = data.index(b"data") + 4
    data[at : at + 4] = max(0, size - 36).to_bytes(4, "little") if size else bytes(4)
    path.write_bytes(data)
    if size:
        assert open_recording(path).warnings == []
    assert riff_share(path) == 1.0


def test_pauses_that_a_phone_left_out():
    recording = open_recording(CASES / "media" / "voice.amr")
    (warning,) = recording.warnings
    assert str(warning) == "0.8 s of pauses, which the recorder left out (AMR), are taken as silence"
    assert recording.duration_s == pytest.approx(349 * 0.02, abs=0.3)  # a pause at the end is none


def test_music_is_no_voice(tmp_path):
    time_s = np.arange(3 * 16000) / 16000
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 277, 330)) * (1 + np.sin(12 * time_s))
    analysis = Analyzer(threads=1).analyze(write_sound(tmp_path / "a.wav", (4000 * chord).astype(np.int16)))
    for utterance in analysis.utterances:
        voice = utterance.modalities["audio"]
        assert voice.probabilities is None
        assert "nobody speaks here" in str(voice.reason)
    assert analysis.overall.abstained
    assert "dB above the noise" not in str(analysis.warnings)


# -- what was understood ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "subtitles/cp1252-quotes.srt",
            ["encoding: Windows-1252, 76 bytes", "cues: 1, from 0.5 s to 2.0 s"],
        ),
        ("batch/talk16.srt", ["encoding: UTF-16, 220 bytes", "cues: 2, from 0.5 s to 4.0 s"]),
        (
            "texts/softhyphen.txt",
            ["begins: This film was terrible and boring.", "languages of its sentences: en (1)"],
        ),
        ("openface/two_faces_multi.csv", ["a face in 5 of 5 frames", "the file has 2 faces"]),
        ("batch/list_space.csv", ["a list of 1 files; columns: path, transcript"]),
        ("media/voice.amr", ["sound track 1: amrnb, channels: 1, 8000 Hz", "0.8 s of pauses"]),
    ],
)
def test_check(capsys, name, told):
    assert main(["check", str(CASES / name)]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) <= 10
    assert all(line in shown for line in told)


def test_check_a_video(capsys):
    assert main(["check", str(SAMPLE), "--json"]) == 0
    facts = {fact["code"]: fact["values"] for fact in json.loads(capsys.readouterr().out)["facts"]}
    assert facts["check.faces"]["found"] > 5
    assert facts["check.speech"]["spoken_s"] > 2
    assert facts["check.track_used"]["number"] == 1


def test_digits_read_aloud_are_told_to_be_numbers(analyzer, real_data):
    """They are of no language, and their recogniser is not in doubt."""
    path = real_data.parent / "cases" / "media" / "numbers.wav"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    analysis = analyzer.analyze(path)
    told = " ".join(analysis.warnings)
    assert "mostly numbers" in told
    assert "doubtful" not in told
    assert {u.modalities[Modality.TEXT].status for u in analysis.utterances} == {Status.MISSING}


def test_check_knows_the_columns_of_a_table_of_ones_own(tmp_path, capsys):
    table = tmp_path / "mine.csv"
    table.write_text("path,score,speaker,mood\na.wav,1.5,ada,x\n", encoding="utf-8")
    assert main(["check", str(table)]) == 0
    (told,) = [
        line for line in capsys.readouterr().out.splitlines() if "mood" in line and "path" not in line
    ]
    assert "score" not in told
