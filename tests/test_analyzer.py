"""The whole journey on real input: the bundled clip, its parts, and texts."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from trivalent import Analyzer
from trivalent.bundle.loading import Expert
from trivalent.core.analysis import Analysis
from trivalent.core.assets import DATA
from trivalent.core.errors import InputError, MediaError, TextError, UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import Modality, Status
from trivalent.experts.channel import Begin, Channel, Spoken, View
from trivalent.experts.channels import CHANNELS
from trivalent.experts.readings import Reading

SAMPLE = DATA / "samples" / "sample.mp4"


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def sound_of(source: Path, target: Path) -> Path:
    """Copy the audio of a clip into a .wav file."""
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        for frame in [*inp.decode(audio=0), None]:
            for part in resampler.resample(frame):
                out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return target


def pictures_of(source: Path, target: Path) -> Path:
    """Copy the video track of a clip without its sound."""
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(inp.streams.video[0])
        for packet in inp.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


def test_sample_uses_all_three_modalities(sample: Analysis) -> None:
    assert sample.source.kind == "video"
    assert len(sample.utterances) == 4, "one for each take"
    for modality in Modality:
        assert any(u.modalities[modality].status is Status.OK for u in sample.utterances), modality
    for u in sample.utterances:
        assert u.verdict.probabilities.sum() == pytest.approx(1)
        assert sum(e.weight for e in u.modalities.values()) == pytest.approx(1)
    assert "forget" in " ".join(u.text for u in sample.utterances).lower()
    assert sample.keyframes
    assert sample.timing.total_s > 0


def test_the_sample_is_what_the_actor_plays(sample: Analysis) -> None:
    """The same words happily, neutrally, angrily and sadly: voice and face decide."""
    assert [u.verdict.label for u in sample.utterances] == ["positive", "neutral", "negative", "negative"]
    face = [u.modalities[Modality.FACE].probabilities for u in sample.utterances]
    assert [int(p.argmax()) for p in face if p is not None] == [2, 1, 0, 0]
    assert sample.overall.mixed_by == "parts"


def test_json_round_trip(sample: Analysis) -> None:
    data = sample.to_dict()
    assert data["schema"] == "trivalent.analysis/1"
    assert Analysis.from_dict(data).to_dict() == data
    kept = {"schema", "source", "model", "overall", "utterances", "warnings", "timing"}
    assert set(data) == kept | {"decided_with"}


def test_frame_has_one_row_per_utterance(sample: Analysis) -> None:
    frame = sample.to_frame()
    assert len(frame) == len(sample.utterances)
    assert {"label", "confidence", "negative", "text_weight", "face_status"} <= set(frame.columns)


def test_analysis_is_reproducible(analyzer: Analyzer, sample: Analysis) -> None:
    again = analyzer.analyze(SAMPLE)
    for a, b in zip(sample.utterances, again.utterances, strict=True):
        np.testing.assert_allclose(a.verdict.probabilities, b.verdict.probabilities, atol=1e-6)


def test_audio_alone(analyzer: Analyzer, tmp_path: Path) -> None:
    analysis = analyzer.analyze(sound_of(SAMPLE, tmp_path / "sample.wav"))
    assert analysis.source.kind == "audio"
    evidence = analysis.utterances[0].modalities
    assert evidence[Modality.AUDIO].status is Status.OK
    assert evidence[Modality.FACE].status is Status.MISSING
    assert "no video" in (evidence[Modality.FACE].reason or "")
    assert evidence[Modality.FACE].weight == 0


def test_video_without_sound(analyzer: Analyzer, tmp_path: Path) -> None:
    analysis = analyzer.analyze(pictures_of(SAMPLE, tmp_path / "silent.mp4"))
    assert len(analysis.utterances) >= 2
    for u in analysis.utterances:
        assert u.modalities[Modality.TEXT].status is Status.MISSING
        assert u.modalities[Modality.AUDIO].status is Status.MISSING
        assert u.modalities[Modality.FACE].status is Status.OK


def test_transcript_replaces_recognition(analyzer: Analyzer, tmp_path: Path) -> None:
    transcript = tmp_path / "words.srt"
    transcript.write_text("1\n00:00:00,000 --> 00:00:02,000\nThis is the best day of my life.\n")
    analysis = analyzer.analyze(SAMPLE, transcript=transcript)
    assert analysis.utterances[0].text == "This is the best day of my life."
    text = analysis.utterances[0].modalities[Modality.TEXT]
    assert text.probabilities is not None
    assert text.probabilities.argmax() == 2


def test_modality_switched_off(tmp_path: Path) -> None:
    only = Analyzer(modalities=["face"]).analyze(SAMPLE)
    for u in only.utterances:
        assert u.modalities[Modality.TEXT].probabilities is None
        assert u.modalities[Modality.TEXT].status is Status.OFF
        alone = u.modalities[Modality.FACE].probabilities
        assert alone is not None
        np.testing.assert_allclose(u.verdict.probabilities, alone, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I absolutely love this, it is wonderful.", "positive"),
        ("This is terrible, I hate it and I want my money back.", "negative"),
        ("The meeting starts at three o'clock.", "neutral"),
    ],
)
def test_plain_texts(analyzer: Analyzer, offline: None, text: str, label: str) -> None:
    assert analyzer.analyze_text(text).overall.label == label


def test_batch_equals_single(analyzer: Analyzer) -> None:
    texts = ["Great work, thank you!", "I am so disappointed with all of this.", "It is a table."]
    batch = analyzer.analyze_texts(texts)
    for text, analysis in zip(texts, batch, strict=True):
        single = analyzer.analyze_text(text).overall.probabilities
        # int8 activations are scaled per batch, so that padding neighbours shift the last digits
        np.testing.assert_allclose(analysis.overall.probabilities, single, atol=0.08)


def test_long_text_is_cut_into_sentences(analyzer: Analyzer) -> None:
    analysis = analyzer.analyze_text("This part was really good. " * 60)
    assert len(analysis.utterances) == 60
    assert analysis.source.kind == "text"


@pytest.mark.parametrize("text", ["", "   \n", "?!...", "\x00\x01\x02", "\ufeff", "---"])
def test_text_without_words_is_refused(analyzer: Analyzer, text: str) -> None:
    with pytest.raises(TextError, match="expected"):
        analyzer.analyze_text(text)


def test_huge_text_is_refused(analyzer: Analyzer) -> None:
    with pytest.raises(TextError, match="200,000 characters"):
        analyzer.analyze_text("word " * 210_000)


def test_emoji_and_control_characters_are_harmless(analyzer: Analyzer) -> None:
    assert analyzer.analyze_text("so happy \x07 today 😀😀").overall.label == "positive"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Das ist ein sehr schöner Tag und wir freuen uns alle darauf.", "the language is 'de'"),
        ("C'est vraiment nul.", "the language is 'fr'"),
        ("我非常喜欢这部电影，但是结局太让人失望了", "the language is 'zh'"),
        ("asdfgh qwerty", "the letters are of no word"),
    ],
)
def test_what_is_not_english_is_not_scored(analyzer: Analyzer, text: str, reason: str) -> None:
    with pytest.raises(TextError, match=reason):
        analyzer.analyze_text(text)


def test_a_text_in_two_languages(analyzer: Analyzer) -> None:
    english = "This was a wonderful evening with all of my friends, and the food was great. " * 4
    german = "Das Essen war leider kalt und die Bedienung sehr unfreundlich. " * 6
    found = analyzer.analyze_text(english + german)
    assert {u.language for u in found.utterances} == {"en", "de"}
    for utterance in found.utterances:
        read = utterance.modalities[Modality.TEXT].status is Status.OK
        assert read == (utterance.language == "en")
    assert found.overall.label == "positive"
    assert any("'de', which the text expert does not read" in w for w in found.warnings)


def test_an_unsure_language_counts_less(analyzer: Analyzer) -> None:
    (told,) = analyzer.analyze_text("bom dia").utterances
    assert told.language == "pt"
    assert 0 < told.modalities[Modality.TEXT].reliability < 0.5
    (chosen,) = Analyzer(language="en").analyze_text("bom dia").utterances
    assert (chosen.language, chosen.modalities[Modality.TEXT].reliability) == ("en", 1.0)
    with pytest.raises(TextError, match="'zh'"):
        Analyzer(language="zh").analyze_text("This is English.")
    with pytest.raises(UsageError, match="languages"):
        Analyzer(language="klingon")


def test_thresholds_and_abstention() -> None:
    eager = Analyzer(thresholds=[0.01, 0.99, 0.99])
    assert eager.analyze_text("The meeting starts at three.").overall.label == "negative"
    strict = Analyzer(min_confidence=0.999)
    assert strict.analyze_text("The meeting starts at three.").overall.abstained


@pytest.mark.parametrize("thresholds", [[0.2, 0.5], [0, 0.5, 0.5], [0.2, 0.5, 1.5]])
def test_bad_thresholds(thresholds: list[float]) -> None:
    with pytest.raises(UsageError, match="thresholds"):
        Analyzer(thresholds=thresholds)


def test_bad_modalities() -> None:
    with pytest.raises(UsageError, match="text,audio,face"):
        Analyzer(modalities=["smell"])


def test_missing_file_folder_and_renamed_text(analyzer: Analyzer, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"absent\.mp4"):
        analyzer.analyze(tmp_path / "absent.mp4")
    with pytest.raises(MediaError, match="folder"):
        analyzer.analyze(tmp_path)
    fake = tmp_path / "fake.mp4"
    fake.write_text("just words\n" * 100)
    with pytest.raises(MediaError):
        analyzer.analyze(fake)
    with pytest.raises(InputError):
        analyzer.analyze(tmp_path / "absent.txt")


def test_a_shown_name_does_not_tell_the_kind(analyzer: Analyzer, tmp_path: Path) -> None:
    video = Analyzer(modalities=["face"]).analyze(SAMPLE, name="notes.txt")
    assert (video.source.name, video.source.kind) == ("notes.txt", "video")
    note = tmp_path / "note.txt"
    note.write_text("What a lovely film.")
    assert analyzer.analyze(note, name="talk.mp4").source.kind == "text"
    stored = note.rename(tmp_path / "0123")
    assert analyzer.analyze(stored, kind="text").source.kind == "text"
    with pytest.raises(MediaError, match="a text file"):
        analyzer.analyze(stored, name="note.txt")


def test_the_journey_asks_the_channels_that_are_registered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def read(expert: Expert, spoken: Spoken, *, options: AnalyzerOptions, begin: Begin) -> View:
        begin()(1.0)
        view = View([Reading.absent(f"not heard at {options.face_rate_hz} Hz")] * 2)
        view.warnings.append(f"{len(spoken.speech.utterances)} utterances of {expert.spec.extractor}")
        return view

    told: list[str] = []

    def stages(name: str) -> Callable[[float], None]:
        told.append(name)
        return lambda done: None

    monkeypatch.setitem(CHANNELS, Modality.AUDIO, Channel(Modality.AUDIO, stage="ears", read=read))
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nOne.\n\n2\n00:00:01,500 --> 00:00:03,000\nTwo.\n")
    analyzer = Analyzer(modalities=["audio"], face_rate_hz=2.5)
    analysis = analyzer.analyze(SAMPLE, transcript=words, stages=stages)
    assert told == ["decode", "speech", "ears", "fusion"]
    assert "2 utterances of covarep" in analysis.warnings
    assert {u.modalities[Modality.AUDIO].reason for u in analysis.utterances} == {"not heard at 2.5 Hz"}


def test_options_are_checked_and_kept() -> None:
    options = AnalyzerOptions(modalities=("text",), thresholds=(0.2, 0.5, 0.5), threads=1)
    assert Analyzer.of(options).options == options
    for wrong in ({"face_rate_hz": 0}, {"face_rate_hz": float("nan")}, {"threads": 0}, {"modalities": []}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Analyzer(**wrong)


def test_text_file(analyzer: Analyzer, tmp_path: Path) -> None:
    path = tmp_path / "review.txt"
    path.write_text("What a lovely film. I enjoyed every minute.")
    assert analyzer.analyze(path).overall.label == "positive"
