"""The paper's table: its rows on a small made-up problem, the choice by cross-validation, the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from trivalent.cli.main import main
from trivalent.core.errors import DataError, LeakageError, UsageError
from trivalent.core.types import Modality
from trivalent.lab.benchmarks import figures, paper_rows, paper_table
from trivalent.lab.benchmarks.bench import Bench, Claim, judge
from trivalent.lab.benchmarks.cross_validation import SystemPool, cross_validate, joined
from trivalent.lab.benchmarks.registry import mosei_data
from trivalent.lab.benchmarks.voice_face import pool
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.mosei import read_segments
from trivalent.lab.datasets.synthetic import Scale, synthesize_mosei
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, Trained
from trivalent.lab.measure.verdicts import Spread
from trivalent.lab.problems.classification import Problem, make_problem

ONE_EPOCH = replace(PAPER_TRAINING, epochs=1, validations_per_epoch=0, schedule="constant")
TRAIN = Bench.train
QUICK = SystemPool(((System(network="linear", training=ONE_EPOCH), (Modality.TEXT,)),))


def train_briefly(bench: Bench, system: System, problem: Problem) -> Trained:
    """Two epochs instead of thirty."""
    return TRAIN(bench, replace(system, training=replace(system.training, epochs=2)), problem)


@pytest.fixture
def data() -> Dataset:
    """90 samples whose words tell the class."""
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.repeat(np.arange(-3.0, 4), 13)[:90])
    labels = np.sign(scores).astype(np.int64) + 1
    values = {m: rng.standard_normal((90, 4)).astype(np.float32) for m in Modality}
    values[Modality.TEXT][:, 0] += 3 * scores
    names = np.array([f"v{i}" for i in range(90)])
    return Dataset(
        "made-up",
        "by hand",
        ids=names,
        groups=names,
        split=np.array(["train"] * 60 + ["val"] * 15 + ["test"] * 15),
        labels=labels,
        scores=scores,
        seconds=np.full(90, np.nan),
        features={m: Features("x", tuple("abcd"), v) for m, v in values.items()},
    )


def test_all_rows(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tuple(
        row
        for row in paper_rows.ROWS
        if row.name.split()[0] in {"S3", "S4", "S7", "S10-2", "S10-4", "text", "7-class"}
    )
    rows = {row.name for row in quick} | {paper_rows.OURS}
    claims = tuple(c for c in paper_rows.CLAIMS if {c.better, c.worse} <= rows)
    monkeypatch.setattr(paper_table, "ROWS", quick)
    monkeypatch.setattr(paper_table, "CLAIMS", claims)
    monkeypatch.setattr(paper_table, "CANDIDATES", {"quick": QUICK})
    monkeypatch.setattr(Bench, "train", train_briefly)
    result, table = paper_table.run_paper_table(data, seeds=[0, 1])
    written = json.loads(result.write(tmp_path)[0].read_text(encoding="utf-8"))
    names = [row["name"] for row in written["rows"]]
    assert names[:4] == [
        "always negative",
        "always neutral",
        "always positive",
        "at random by training shares",
    ]
    assert names[-1] == paper_rows.OURS
    assert len(written["claims"]) == len(claims)
    assert any("quick" in caveat for caveat in written["caveats"])
    assert table.bench.figures["S3 attention"]["macro_f1"].shape == (2,)


def test_cross_validation_tells_a_signal_from_none(data: Dataset) -> None:
    problem = make_problem(data)
    training = replace(ONE_EPOCH, epochs=20, learning_rate=0.05)
    system = System(network="linear", training=training)
    scores = cross_validate(
        {m: SystemPool(((system, (m,)),)) for m in (Modality.TEXT, Modality.AUDIO)}, problem, [0, 1]
    )
    assert scores[Modality.TEXT].min() > 0.65
    assert scores[Modality.AUDIO].max() < 0.5
    assert len(joined(problem)) == 75
    swapped = replace(problem, parts=replace(problem.parts, val=problem.parts.test))
    with pytest.raises(LeakageError):
        joined(swapped)
    with pytest.raises(UsageError, match="validations_per_epoch 1"):
        SystemPool(((System(), (Modality.TEXT,)),))


def test_verdicts() -> None:
    def spread(*seeds: float) -> dict[str, Spread]:
        drawn = np.random.default_rng(0).normal(np.mean(seeds), 0.01, 1000)
        return {"macro_f1": Spread(np.array(seeds), drawn, 50)}

    spreads = {
        "a": spread(0.6, 0.61, 0.62),
        "b": spread(0.5, 0.52, 0.51),
        "c": spread(0.5, 0.7, 0.6),
        "d": spread(0.4, 0.41, 0.42),
    }
    verdicts = [judge(Claim("x", *pair), spreads)["verdict"] for pair in ("ab", "ba", "cb", "ad")]
    assert verdicts == ["holds", "refuted", "undecided", "holds"]
    assert "over 3 seeds and 50 groups" in judge(Claim("x", "c", "b"), spreads)["reason"]
    assert judge(Claim("x", untestable="no data"), {})["verdict"] == "cannot be tested"


def test_pool_of_opinions() -> None:
    sure, unsure = np.array([[0.9, 0.05, 0.05]]), np.full((1, 3), 1 / 3)
    np.testing.assert_allclose(pool(sure, unsure), sure)
    np.testing.assert_allclose(pool(sure, sure[:, ::-1]).sum(), 1)


def test_pictures_say_which_part_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def look(figure: Any, path: Path) -> Path:
        told.extend(text for axis in figure.axes for text in (axis.get_xlabel(), axis.get_ylabel()))
        return path

    monkeypatch.setattr(figures, "save", look)
    figures.risk_coverage_curves({"a": (np.array([0.9, 0.6]), np.array([True, False]))}, tmp_path / "r")
    assert told == [
        "coverage: share of the validation samples that are answered",
        "share of wrong answers on validation",
    ]
    figures.confusion_matrices({"a": np.eye(3, dtype=int)}, tmp_path / "c")
    assert told[-1] == "true class, test part"


def test_synthetic_features_are_refused(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
    synthesize_mosei(read_segments(real_data), tmp_path, scale=Scale(videos=3, rate=0.01))
    with pytest.raises(DataError, match="got synthetic ones"):
        mosei_data(tmp_path)
    assert mosei_data(tmp_path, synthetic=True).synthetic
    assert main(["benchmark", "paper-table", "-o", str(tmp_path / "o"), "--root", str(tmp_path)]) == 1
    assert "--synthetic" in capsys.readouterr().err


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["benchmark", "--list"]) == 0
    assert "paper-table" in capsys.readouterr().out
    assert main(["benchmark"]) == 2
    assert main(["benchmark", "nothing", "-o", str(tmp_path), "--root", str(tmp_path)]) == 2
