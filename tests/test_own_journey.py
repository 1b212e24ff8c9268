"""From recordings to a model to a report: twelve clips train a network, which judges a thirteenth."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("yaml", "onnxscript", "matplotlib"):
    pytest.importorskip(package, reason="needs the extra train")

from conftest import REPOSITORY, data_root  # noqa: E402
from trivalent.analyzer import Analyzer  # noqa: E402
from trivalent.bundle.encoder import check_encoder  # noqa: E402
from trivalent.bundle.loading import installed_bundles, load_network  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.assets import DATA  # noqa: E402
from trivalent.core.types import LABELS, Modality  # noqa: E402
from trivalent.lab.measure.evaluate import evaluate  # noqa: E402

ATTENTION = REPOSITORY / "recipes" / "attention.yaml"
SAMPLE = DATA / "samples" / "sample.mp4"
CREMA = {"ANG": "negative", "HAP": "positive", "NEU": "neutral", "SAD": "negative"}
# Two takes of each of four actors of RAVDESS: modality-channel-emotion-intensity-statement-repetition.
RAVDESS = {
    "03-01-01-01-01-01-01": "neutral",
    "03-01-03-02-01-01-01": "positive",
    "03-01-05-02-01-01-02": "negative",
    "03-01-01-01-01-01-02": "neutral",
    "03-01-03-02-01-01-03": "positive",
    "03-01-05-02-01-01-03": "negative",
    "03-01-01-01-01-01-04": "neutral",
    "03-01-04-02-01-01-04": "negative",
}


def lines_of_twelve() -> list[str]:
    """Lines of a table: the face is that of one person, who must be among those who train."""
    root = data_root()
    films = sorted((root / "crema_d").glob("*.flv"))[:4]
    takes = [root / "ravdess" / "speech" / f"{name}.flac" for name in RAVDESS]
    if len(films) < 4 or not all(take.is_file() for take in takes) or "default" not in installed_bundles():
        pytest.skip("needs CREMA-D clips, RAVDESS takes and the default bundle")
    lines = [f"{film},{CREMA[film.stem.split('_')[2]]},1001,train" for film in films]
    parts = {"01": "train", "02": "train", "03": "val", "04": "test"}
    for take, label in zip(takes, RAVDESS.values(), strict=True):
        actor = take.stem[-2:]
        lines.append(f"{take},{label},actor {actor},{parts[actor]}")
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a table and the run that `trivalent train` made of it."""
    place = tmp_path_factory.mktemp("own")
    table = place / "mine.csv"
    table.write_text("\n".join(["path,label,speaker,split", *lines_of_twelve()]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVALENT_CACHE", str(place / "cache"))
        changes = [f"data={table}", "seeds=[0,1]", "training.epochs=5"]
        options = [x for change in changes for x in ("--set", change)]
        assert main(["train", str(ATTENTION), *options, "-o", str(place / "run")]) == 0
        yield place


def test_the_bundle_says_how_its_features_are_made(folder: Path) -> None:
    network = load_network(folder / "run").fusion
    assert {m: spec.encoder.extractor for m, spec in network.modalities.items()} == {
        Modality.TEXT: "minilm",
        Modality.AUDIO: "covarep",
        Modality.FACE: "face",
    }
    assert all(
        set(spec.cleaner.columns) <= set(spec.encoder.pooling) for spec in network.modalities.values()
    )
    assert (network.whisper, network.data.name) == ("tiny.en", "mine.csv")
    assert (folder / "run" / "card.md").read_text().count("mine.csv") >= 1


def test_a_thirteenth_is_analysed(folder: Path) -> None:
    result = Analyzer(folder / "run").analyze(SAMPLE)
    assert all(e.status == "ok" for e in result.utterances[0].modalities.values())
    assert result.model.name == "attention"


def test_features_are_those_of_training_and_so_are_the_answers(folder: Path) -> None:
    """An evaluation by utterances says of each what an analysis says."""
    table, out = folder / "thirteenth.csv", folder / "utterances.csv"
    table.write_text(f"path,label\n{SAMPLE},neutral\n")
    evaluate(folder / "run", data=str(table), root=Path(), rounds=0, cut="utterances", predictions=out)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    result = Analyzer(folder / "run").analyze(SAMPLE)
    assert [row["name"] for row in rows] == [f"{SAMPLE}#{i + 1}" for i in range(len(result.utterances))]
    for row, utterance in zip(rows, result.utterances, strict=True):
        assert float(row["start_s"]) == pytest.approx(utterance.start_s, abs=1e-3)
        assert row["predicted"] == utterance.verdict.label
        p = [float(row[label]) for label in LABELS]
        np.testing.assert_allclose(p, utterance.verdict.probabilities, atol=1e-6)


@pytest.mark.parametrize("bundle", ["run", "default"])
def test_evaluation_shows_every_prediction(
    folder: Path, capsys: pytest.CaptureFixture[str], bundle: str
) -> None:
    table, out = folder / "some.csv", folder / f"{bundle}.csv"
    lines = lines_of_twelve()
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    four = [x.rpartition(",")[0] for x in lines[2:6]]
    table.write_text("\n".join(["path,label,speaker", *four, "broken.mp4,neutral,x"]) + "\n")
    where = str(folder / "run") if bundle == "run" else bundle
    command = ["evaluate", where, "--data", str(table), "--predictions", str(out), "--rounds", "5"]
    assert main([*command, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["n"], content["data"], content["split"]) == (4, "some.csv", "test")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["label"] for row in rows] == ["neutral", "negative", "neutral", "positive"]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert content["figures"]["accuracy"]["value"] == pytest.approx(right / 4)
    for row in rows:
        p = {label: float(row[label]) for label in LABELS}
        assert sum(p.values()) == pytest.approx(1, abs=1e-5)
        assert float(row["confidence"]) == pytest.approx(p[row["predicted"]])
        assert row["answered"] == "yes"
    assert [row["face"] for row in rows] == ["ok", "ok", *["the recording has no video track"] * 2]
    assert [row["audio"].split()[0] for row in rows] == ["ok", "0.22", "ok", "ok"]
    assert {row["text"] for row in rows} == {"ok"}
    if bundle == "run":
        assert "4 of 4 samples are of videos or speakers with names that occur" in content["caveats"][0]
    assert content["caveats"][-1] == "left out: 1 recordings that cannot be decoded"


def test_a_bundle_of_experts_needs_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "default", "--data", "mosei-922", "--root", "."]) == 2
    assert "expected a table of recordings (.csv) for default" in capsys.readouterr().err
    assert main(["evaluate", "default", "--data", "x.csv", "--label-map", "happy"]) == 2
    assert "for example happy=positive,sad=negative" in capsys.readouterr().err


def test_nothing_half_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recordings that are gone, and features of a data set that nobody can extract here."""
    table = tmp_path / "gone.csv"
    table.write_text("path,label\ngone.mp4,positive\n")
    out = tmp_path / "out.csv"
    for bundle in (str(folder / "run"), "default"):
        assert main(["evaluate", bundle, "--data", str(table), "--predictions", str(out)]) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("trivalent:")]
        assert "got none of 1; line 2, gone.mp4: no such file; correct the paths" in line
        assert not out.exists()


def test_the_paper_s_features_are_made_of_recordings(tmp_path: Path) -> None:
    """GloVe, COVAREP's 74 columns and OpenFace's, by the extractors of an analysis."""
    from trivalent.lab.fusion.recipe import parse_fusion
    from trivalent.lab.recipes import read_recipe

    content = read_recipe(
        REPOSITORY / "recipes" / "paper.yaml", overrides=[f"data={tmp_path / 'mine.csv'}"]
    )
    encoders = parse_fusion(content, where="test").plan.encoders
    assert {m: (e.extractor, len(e.pooling)) for m, e in encoders.items()} == {
        Modality.TEXT: ("glove", 50),
        Modality.AUDIO: ("covarep", 74),
        Modality.FACE: ("openface", 709),
    }
    assert encoders[Modality.AUDIO].options == {"strict": True}
    for modality, encoder in encoders.items():
        check_encoder(encoder, modality)
