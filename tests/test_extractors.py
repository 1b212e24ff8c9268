"""The registry of extractors: ours, those of other packages, and those that are broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bundles import linear_graph, tabular_spec, write_bundle, zip_bundle
from conftest import REPOSITORY
from media_samples import write_media
from trivalent import Analyzer
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.loading import load_bundle
from trivalent.cli.main import main
from trivalent.core.errors import BundleError, FeatureError, UsageError
from trivalent.core.types import Modality, Status
from trivalent.extract import extract
from trivalent.features import registry
from trivalent.features.extractor import Extractor, Material, Need, defaults
from trivalent.features.registry import OWN, extractor, extractor_names, own_extractors
from trivalent.features.tables import read_table
from trivalent.media.recording import open_recording

pytestmark = pytest.mark.usefixtures("tones_are_voices")

PAGE = (REPOSITORY / "docs" / "extractors.md").read_text(encoding="utf-8")
ODD = """
from loudness import Loudness

class Seer(Loudness):
    name = "seer"
    needs = {"pictures"}

SEER = Seer()
"""
POOLING = ("level_db.std", "peak_db.p90")
SRT = "1\n00:00:00,100 --> 00:00:01,900\nGood film.\n"


def distribution(folder: Path, name: str, entries: dict[str, str], **modules: str) -> None:
    """Write what `pip install` leaves of a package: its modules and its metadata."""
    for module, code in modules.items():
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{registry.GROUP}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, with the extractor of docs/extractors.md installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (project,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    entries = tomllib.loads(project)["project"]["entry-points"][registry.GROUP]
    distribution(folder, "trivalent-loudness", entries, loudness=code)
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    for module in ("loudness", "faulty", "odd"):
        sys.modules.pop(module, None)
    forget()


def forget() -> None:
    registry.extractor.cache_clear()
    registry._entry_points.cache_clear()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("m") / "sound.wav"
    return write_media(path, video=None, audio="pcm_s16le", rate=16000)


def bundle_of_loudness(folder: Path, **changes: object) -> Path:
    """Write a bundle whose expert of the voice pools columns of `loudness`."""
    spec = tabular_spec("loudness", ("level_db", "peak_db"), pooling=POOLING, model="voice.onnx")
    graph = linear_graph(np.array([[0.5, 0.0, -0.5], [0.01, 0.0, 0.0]]))

    def change(manifest: dict) -> None:
        manifest["experts"]["audio"] = spec.to_dict() | changes

    return write_bundle(folder, modalities=["audio"], graphs={"audio": graph}, change=change)


@pytest.mark.parametrize("name", OWN)
def test_ours_describe_themselves(name: str) -> None:
    found = extractor(name)
    assert isinstance(found, Extractor)
    assert (found.name, extractor(name)) == (name, found)
    assert found.options() == found.options(**defaults(found))
    assert all(set(columns) for columns in found.graphs.values())
    with pytest.raises(UsageError, match=r"expected one of the \d+ columns, got 'nonsense'"):
        found.extract(Material(encoder=lambda: None), columns=["nonsense"])  # type: ignore[arg-type,return-value]


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(FeatureError, match="expected a source with sound, got one without"):
        extractor("covarep").extract(Material())
    with pytest.raises(
        UsageError, match="minilm, tokens, glove, sentence_glove, covarep, face, openface, got 'mfcc'"
    ):
        extractor("mfcc")


def test_another_package_brings_one(
    site: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extractor_names() == [*OWN, "loudness"]
    out = tmp_path / "f.npz"
    argv = [
        "extract",
        "loudness",
        str(sound),
        "-o",
        str(out),
        "--columns",
        "level_db",
        "--set",
        "hop_s=0.1",
    ]
    assert main(argv) == 0
    assert capsys.readouterr().out.endswith("f.npz: 20 rows, 1 columns, ok\n")
    table = read_table(out)
    assert (table.extractor, table.version, table.columns) == ("loudness", "1", ("level_db",))
    assert table.meta["warnings"] == []
    np.testing.assert_allclose(np.diff(table.times), 0.1)
    np.testing.assert_array_equal(
        extract("loudness", sound, hop_s=0.1).select(["level_db"]).values, table.values
    )
    for faulty in ("hop=1", "hop_s=soon", "hop_s"):
        assert main([*argv[:-1], faulty]) == 2
    assert main([*argv[:5], "--seed", "3"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert "expected an option of loudness (hop_s) with --set, got 'hop=1'" in told[0]
    assert "expected float for hop_s with --set, got 'soon'" in told[1]
    assert "expected the option seed with covarep only, got loudness" in told[3]


def test_a_bundle_may_rely_on_it(site: Path, sound: Path, tmp_path: Path) -> None:
    folder = bundle_of_loudness(tmp_path / "b")
    (tmp_path / "t.srt").write_text(SRT)
    analysis = Analyzer(folder, modalities=["audio"]).analyze(sound, transcript=tmp_path / "t.srt")
    (utterance,) = analysis.utterances
    evidence = utterance.modalities[Modality.AUDIO]
    assert evidence.status is Status.OK
    audio = open_recording(sound).audio
    assert audio is not None
    samples = audio.read(utterance.start_s, utterance.end_s)
    table = extractor("loudness").extract(Material(sound=lambda: samples))
    expert = load_bundle(folder).experts[Modality.AUDIO]
    expected, _ = expert.from_table(table)
    assert expected is not None
    assert evidence.reliability is not None
    said = expert.opinion(expected, evidence.reliability)
    np.testing.assert_array_equal(evidence.probabilities, said.probabilities)
    assert evidence.quality["voiced_s"] == np.ptp(table.times)
    for changes, message in [
        (
            {"extractor_version": "2"},
            "expected a bundle for loudness version 1, got audio features of version",
        ),
        ({"columns": ["level_db", "F0"]}, "columns that the extractor loudness computes, got 1 others: F0"),
        ({"extractor": "face", "extractor_version": extractor("face").version}, "takes sound for audio"),
    ]:
        with pytest.raises(BundleError, match=message):
            load_bundle(bundle_of_loudness(tmp_path / message[:30], **changes))


def test_the_trial_of_a_bundle_knows_it(site: Path, tmp_path: Path) -> None:
    archive = zip_bundle(bundle_of_loudness(tmp_path / "b"), tmp_path / "b.zip")
    sources = os.environ.get("PYTHONPATH", "")
    answers = []
    for path in (f"{site}{os.pathsep}{sources}", sources):
        command = [
            sys.executable,
            "-m",
            "trivalent.bundle.trial",
            str(archive),
            str(tmp_path / f"u{len(answers)}"),
        ]
        run = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True
        )
        answers.append(json.loads(run.stdout))
    assert answers[0]["name"] == "tiny"
    assert (
        "among minilm, tokens, glove, sentence_glove, covarep, face, openface for audio, got 'loudness'"
        in answers[1]["error"]["text"]
    )


def test_the_cache_of_the_lab_asks_for_it(site: Path, sound: Path) -> None:
    recordings = pytest.importorskip("trivalent.lab.datasets.recordings")
    encoder = EncoderSpec("loudness", "1", POOLING)
    plan = recordings.FeaturePlan({Modality.AUDIO: encoder}, whisper="")
    table = recordings.LazyRecording(sound).extract(plan.extractions()[Modality.AUDIO])
    assert (table.extractor, table.version, table.columns) == ("loudness", "1", POOLING)
    assert np.isfinite(table.values).all()


def test_broken_ones_are_named_and_stop_nobody(site: Path, sound: Path, tmp_path: Path) -> None:
    entries = {"faulty": "faulty:X", "odd": "odd:SEER", "seer": "odd:SEER", "other": "odd:Loudness.name"}
    distribution(site, "trivalent-faulty", entries, faulty="raise RuntimeError('no licence')\n", odd=ODD)
    forget()
    for name, reason in [
        (
            "faulty",
            r"'faulty' at faulty:X of trivalent-faulty, got RuntimeError: no licence; update or uninstall",
        ),
        ("odd", "got one that calls itself 'seer'"),
        ("other", "got a str that is none"),
        ("seer", "to have the option face_rate_hz, as it needs pictures"),
    ]:
        with pytest.raises(FeatureError, match=reason):
            extractor(name)
    assert main(["extract", "faulty", str(sound), "-o", str(tmp_path / "f.npz")]) == 1
    assert len(extract("loudness", sound)) > 0
    assert len(list(own_extractors())) == len(OWN)
    with pytest.raises(
        BundleError, match=r"expected an extractor that works for audio: .*RuntimeError: no licence"
    ):
        load_bundle(bundle_of_loudness(tmp_path / "b", extractor="faulty"))


def test_two_packages_cannot_bring_the_same(site: Path) -> None:
    distribution(site, "zz-loudness", {"loudness": "loudness:LOUDNESS", "face": "loudness:LOUDNESS"})
    forget()
    with pytest.raises(
        FeatureError, match="got those of trivalent-loudness and zz-loudness; uninstall all but one"
    ):
        extractor("loudness")
    assert Need.PICTURES in extractor("face").needs
