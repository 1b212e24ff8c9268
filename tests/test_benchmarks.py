"""The benchmarks on imbalance and fusion, on small problems that were made up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("imblearn", reason="needs the extra train")

from trivalent.core.errors import DataError, LeakageError
from trivalent.core.types import LABELS, Modality, Sentiment
from trivalent.lab.benchmarks import fusion, imbalance
from trivalent.lab.benchmarks.bench import Bench, Predictions
from trivalent.lab.benchmarks.fusion_study import MEAN, RATES, FusionStudy, missing, removed_at_random
from trivalent.lab.benchmarks.imbalance import (
    CHOICES,
    PLAIN,
    Decision,
    Imbalanced,
    choose_rule,
    cross_fitted,
    run_imbalance,
)
from trivalent.lab.benchmarks.registry import BENCHMARKS, run_benchmark
from trivalent.lab.benchmarks.selection import Candidate, choose, compare, rank_correlation
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, train_system
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.result_files import Result
from trivalent.lab.problems.classification import make_problem
from trivalent.lab.problems.resampling import RESAMPLERS

SIZES = {"train": 90, "val": 40, "test": 40}
SEEDS = (0, 1)
SHORT = replace(PAPER_TRAINING, epochs=1)
OTHERS = ("square-root weights / none", "cross-entropy / SMOTE")


def made(modalities: tuple[Modality, ...] = tuple(Modality), *, width: int = 4) -> Dataset:
    """Classes that overlap; one in five samples is negative, and every second sample a group."""
    rng = np.random.default_rng(0)
    n = sum(SIZES.values())
    labels = rng.choice(3, n, p=(0.2, 0.4, 0.4))
    blocks = {}
    for m in modalities:
        values = rng.normal(size=(n, width)).astype(np.float32)
        values[np.arange(n), labels] += 1.5
        blocks[m] = Features("made", tuple(f"{m}{i}" for i in range(width)), values)
    return Dataset(
        name="made",
        protocol="made",
        ids=np.array([f"s{i}" for i in range(n)]),
        groups=np.array([f"g{i // 2}" for i in range(n)]),
        split=np.repeat(list(SIZES), list(SIZES.values())),
        labels=labels.astype(np.int64),
        scores=np.full(n, np.nan),
        seconds=np.full(n, np.nan),
        features=blocks,
    )


@pytest.fixture(scope="module")
def imbalanced():
    problems = [
        Imbalanced("two", make_problem(made((Modality.AUDIO, Modality.FACE))), epochs=1),
        Imbalanced("one", make_problem(made((Modality.TEXT,))), epochs=1),
    ]
    return run_imbalance(problems, seeds=SEEDS)


def test_imbalance_has_every_choice_decision_and_constant(imbalanced):
    result, table = imbalanced
    names = {row.name for row in result.rows}
    for own in table.problems:
        assert {own.row(choice, decision) for choice in CHOICES for decision in Decision} <= names
        assert {f"{own.name}: always {label}" for label in LABELS} <= names
        assert f"{own.name}: at random by training shares" in names
    assert len(names) == len(result.rows) == 2 * (3 * len(CHOICES) + 4)
    metrics = result.rows[-3].metrics
    assert {"macro_f1", "minority_recall", "minority_f1", "accuracy", "ece"} <= set(metrics)
    assert "negative_f1" not in metrics
    assert {system.resampling for system in CHOICES.values()} == set(RESAMPLERS) - {
        "mixup",
        "modality_noise",
    }
    assert table.problems[0].system(PLAIN).network == "concatenation"
    assert table.problems[1].system(PLAIN).network == "single"


def test_imbalance_judges_what_validation_chose(imbalanced):
    result, table = imbalanced
    for own in table.problems:
        best = result.extra["best_on_validation"][own.name]
        means = {c.row: c.validation.mean() for c in table.candidates[own.name]}
        assert means[best["chosen"]] == max(means.values()) == best["macro_f1_on_validation"]
        tested = best["against_plain"]
        assert tested["second"] == own.row(PLAIN, Decision.ARGMAX)
        expected = table.bench.figures[best["chosen"]]["macro_f1"].mean()
        assert tested["first_macro_f1"] == pytest.approx(expected)
    assert len(result.extra["claims"]) == 8
    json.dumps(result.extra, allow_nan=False)


def test_imbalance_figures_and_files(imbalanced, tmp_path):
    result, table = imbalanced
    pictures = imbalance.draw(table, tmp_path)
    assert [p.name for p in pictures] == ["imbalance-macro-f1.png", "imbalance-validation.png"]
    assert all(p.stat().st_size > 1000 for p in pictures)
    assert {p.name for p in result.write(tmp_path)} == {"imbalance.json", "imbalance.md"}
    assert "Epochs were chosen by argmax on the same samples" in (tmp_path / "imbalance.md").read_text()


@pytest.mark.parametrize("decision", list(Decision))
def test_decisions_are_never_searched_on_test(decision):
    parts = make_problem(made()).parts
    p = np.full((len(parts.test), 3), 1 / 3)
    with pytest.raises(LeakageError, match="test part"):
        choose_rule(decision, p, parts.test, of=Sentiment.NEGATIVE)
    with pytest.raises(LeakageError, match="test part"):
        cross_fitted(decision, p, parts.test, of=Sentiment.NEGATIVE)


def test_rules_are_those_of_validation_and_cross_fitting_is_no_better_than_tuning():
    part = make_problem(made()).parts.val
    labels = part.labels_to_select()
    p = np.random.default_rng(1).dirichlet(np.ones(3), len(part)) + 0.4 * np.eye(3)[labels]
    p /= p.sum(1, keepdims=True)
    argmax, note = choose_rule(Decision.ARGMAX, p, part, of=Sentiment.NEGATIVE)
    assert note == ""
    assert np.array_equal(argmax(p), p.argmax(1))
    plain = macro_f1(labels, p.argmax(1))
    # Halves that are judged by the same rule are judged as a whole.
    assert cross_fitted(Decision.ARGMAX, p, part, of=Sentiment.NEGATIVE) == pytest.approx(plain)
    ratio, note = choose_rule(Decision.RATIO, p, part, of=Sentiment.NEGATIVE)
    assert note.count(":") == 2
    tuned = macro_f1(labels, ratio(p))
    assert tuned >= plain
    assert cross_fitted(Decision.RATIO, p, part, of=Sentiment.NEGATIVE) <= tuned


def test_chance_labels_let_tuning_win_only_where_it_is_judged_on_itself():
    """On labels that have nothing to do with the probabilities a tuned rule gains in-sample alone."""
    part, rng = make_problem(made()).parts.val, np.random.default_rng(0)
    gains = []
    for _ in range(20):
        p = rng.dirichlet(np.ones(3), len(part))
        rule, _ = choose_rule(Decision.RATIO, p, part, of=Sentiment.NEGATIVE)
        inside = macro_f1(part.labels_to_select(), rule(p))
        gains.append((inside, cross_fitted(Decision.RATIO, p, part, of=Sentiment.NEGATIVE)))
    inside, outside = np.mean(gains, axis=0)
    assert inside > outside + 0.05


@pytest.fixture(scope="module")
def fused():
    data = {"three": made(), "two": made((Modality.AUDIO, Modality.FACE))}
    networks = ("linear", "concatenation", "attention")
    return fusion.run_fusion(data, seeds=SEEDS, epochs=1, networks=networks)


def test_fusion_has_networks_rates_subsets_and_constants(fused):
    result, studies = fused
    names = [row.name for row in result.rows]
    assert len(names) == len(set(names))
    for study in studies:
        assert {f"{study.name}: always {label}" for label in LABELS} <= set(names)
        for network in (*study.networks, MEAN):
            for training in ("plain", "modality dropout"):
                assert {study.row(network, training, missing(r)) for r in RATES} <= set(names)
        assert {study.row(f"single on {m}", "plain", missing(0.5)) for m in study.modalities} <= set(names)
    assert "three: attention on text + face / plain / complete" in names
    assert "three: concatenation / modality dropout / text + face only" in names
    assert "two: attention on audio / plain / complete" in names
    assert not any("concatenation on audio /" in name for name in names)
    assert result.benchmark == "fusion-networks"


def test_fusion_chooses_for_each_rate_on_validation(fused):
    result, studies = fused
    for study in studies:
        best = result.extra["best_on_validation"][study.name]
        assert list(best) == [missing(rate) for rate in RATES]
        for tested, found in best.items():
            assert found["chosen"].endswith(tested)
            assert "single on" not in found["chosen"]
            assert "single on" in found["against_best_single"]["second"]
    told = [c["claim"] for c in result.extra["claims"]]
    assert len(told) == 2 * (len(RATES) + 2 + 2)
    json.dumps(result.extra, allow_nan=False)


def test_fusion_figures(fused, tmp_path):
    _, studies = fused
    pictures = fusion.draw(studies, tmp_path)
    assert [p.name for p in pictures] == ["fusion-networks-missing.png", "fusion-networks-subsets.png"]
    assert all(p.stat().st_size > 1000 for p in pictures)


def test_removal_hits_its_rate_is_nested_and_hides_from_networks():
    half, more = (removed_at_random(4000, rate, seed=3) for rate in (0.5, 0.75))
    for m in Modality:
        assert half[m].mean() == pytest.approx(0.5, abs=0.03)
        assert (more[m] >= half[m]).all()
    problem = make_problem(made())
    part = problem.parts.test
    gone = removed_at_random(len(part), 0.5, seed=0)
    hidden = part.hiding(gone)
    for m in Modality:
        assert np.array_equal(hidden.present[m], ~gone[m])
        assert np.isfinite(part.features[m]).all()
    trained = train_system(System("attention", training=SHORT), problem, SEEDS)
    whole = trained.probabilities_of_each([part, part])
    np.testing.assert_allclose(whole, trained.probabilities(part), atol=1e-6)
    mixed = trained.probabilities_of_each([part, hidden])
    np.testing.assert_allclose(mixed[0], whole[0], atol=1e-6)
    assert not np.allclose(mixed[1], whole[1])
    np.testing.assert_allclose(mixed[1], trained.probabilities(hidden)[1], atol=1e-6)


def test_hidden_part_keeps_its_guard():
    part = make_problem(made()).parts.test
    hidden = part.hiding(removed_at_random(len(part), 0.5, seed=0))
    with pytest.raises(LeakageError):
        hidden.labels_to_select()
    bench, codes = Bench(SEEDS), np.zeros((2, len(part)), np.int64)
    bench.score("row", Predictions(codes), hidden)
    with pytest.raises(LeakageError, match="second"):
        bench.score("row", Predictions(codes), part)


def scored(bench: Bench, part, name: str, right: float) -> Candidate:
    """Predict a share of the test labels rightly, by their own guard's scoring."""
    seen: list[np.ndarray] = []
    part.score(f"peek {name}", np.zeros(len(part)), seed=0, by=lambda labels, _: seen.append(labels) or {})
    rng = np.random.default_rng(len(name))
    codes = np.array([np.where(rng.random(len(part)) < right, seen[0], (seen[0] + 1) % 3) for _ in SEEDS])
    bench.score(name, Predictions(codes), part)
    return Candidate(name, np.array([right, right]))


def test_selection_takes_validation_and_tests_both_kinds_of_chance():
    part, bench = make_problem(made()).parts.test, Bench(SEEDS)
    good, bad = (scored(bench, part, name, right) for name, right in (("good", 0.95), ("bad", 0.3)))
    assert choose([bad, good]) is good
    assert choose([replace(bad, validation=good.validation), good]).row == "bad"  # the first of equals
    tested = compare(bench, good, bad, text="x")
    assert tested["difference"] > 0.3
    assert tested["low"] > 0
    assert f"{len(np.unique(part.groups))} groups" in tested["reason"]
    assert (tested["claim"], tested["verdict"]) == ("x", "holds")
    assert compare(bench, bad, bad, text="x")["verdict"] == "refuted"
    assert rank_correlation(bench, [good, bad]) is None
    middle = scored(bench, part, "middle", 0.6)
    assert rank_correlation(bench, [good, middle, bad]) == pytest.approx(1)


def test_a_study_of_one_modality_has_no_subsets():
    study = FusionStudy("one", made((Modality.TEXT,)), Bench(SEEDS), Result("x", "y"))
    assert study.subsets() == []


@pytest.mark.parametrize(("name", "module"), [("imbalance", imbalance), ("fusion", fusion)])
def test_benchmarks_run_by_name_and_refuse_an_empty_root(name, module, tmp_path, monkeypatch):
    assert name in BENCHMARKS
    with pytest.raises(DataError, match="in "):
        run_benchmark(name, root=tmp_path, out=tmp_path / "out", seeds=2)

    class Made:
        def read(self, root, protocol):
            if protocol == "actors":
                raise DataError("expected ravdess, got none; get it")
            return made((Modality.TEXT, Modality.FACE))

    monkeypatch.setattr(module, "find_dataset", lambda data_set: Made())
    if name == "imbalance":
        monkeypatch.setattr(imbalance, "_DATA", {"a": ("a", "a"), "RAVDESS": ("ravdess", "actors")})
        monkeypatch.setattr(imbalance, "CHOICES", {c: CHOICES[c] for c in (PLAIN, *OTHERS)})
    else:
        whole = fusion.run_fusion
        monkeypatch.setattr(
            fusion,
            "run_fusion",
            lambda data, *, seeds: whole(data, seeds=seeds, epochs=1, networks=("linear", "attention")),
        )
    result, written = run_benchmark(name, root=tmp_path, out=tmp_path / "out", seeds=2)
    assert any("left out" in caveat for caveat in result.caveats)
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert all(path.is_file() for path in written)
