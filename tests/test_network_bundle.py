"""Bundles with a network: written and read to the same answers, damaged ones refused, no torch needed."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra train")

from conftest import REPOSITORY
from fusion_bundles import (
    COLUMNS,
    GRAPH,
    answers,
    features,
    save_small,
    small_bundle,
    small_decision,
    small_network,
    weights,
)
from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import load_bundle, load_network
from trivalent.core.errors import BundleError, FeatureError
from trivalent.core.types import Modality
from trivalent.lab.bundles import export_bundle

TEXT, FACE = Modality.TEXT, Modality.FACE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_small(tmp_path / "bundle")


def test_answers_by_hand() -> None:
    given = features()
    found = answers(small_bundle(), given)
    logits = sum((given[m][0] - 1) / 2 @ w for m, w in weights().items())
    expected = softmax(logits * [0.5, 1, 2] + [0.1, 0, -0.1])
    assert np.allclose(found.probabilities, expected, atol=1e-6)
    assert (found.decisions == expected.argmax(1)).all()
    assert np.allclose(found.confidence, expected.max(1), atol=1e-6)
    assert (found.answered == (expected.max(1) >= 0.4)).all()
    assert (found.sets == (1 - expected <= [0.7, np.inf, 0.8])).all()
    assert found.sets[:, 1].all()


def test_round_trip(folder: Path) -> None:
    before, after = small_bundle(), load_network(folder)
    for name in ("probabilities", "decisions", "confidence", "answered", "sets"):
        assert np.array_equal(*(getattr(answers(b, features()), name) for b in (before, after)))
    for name in ("name", "version", "metrics", "card"):
        assert getattr(after, name) == getattr(before, name)
    assert after.fusion.data == before.fusion.data
    assert len(after.sha256) == 64
    assert load_network(folder.parent).sha256 == after.sha256  # the result folder around it
    assert {p.name for p in folder.iterdir()} == {"bundle.json", "network.onnx"}


@pytest.mark.parametrize(
    "rule",
    [DecisionRule(DecisionKind.THRESHOLD, (0.25,), 2), DecisionRule(DecisionKind.RATIO, (0.2, 0.5, 0.5))],
)
def test_decision_rules_round_trip(tmp_path: Path, rule: DecisionRule) -> None:
    bundle = load_network(save_small(tmp_path, decision=small_decision(rule)))
    assert bundle.decision.rule == rule
    found = answers(bundle, features(40))
    assert (found.decisions == rule.decide(found.probabilities)).all()


def test_order_and_further_columns_do_not_matter() -> None:
    given = features()
    values, columns = given[FACE]
    shuffled = np.column_stack([np.full(6, 99.0), values[:, ::-1]])
    other = {TEXT: given[TEXT], FACE: (shuffled, ("more", *columns[::-1]))}
    expected = answers(small_bundle(), given).probabilities
    assert np.array_equal(answers(small_bundle(), other).probabilities, expected)


def test_absent_modalities_and_cells() -> None:
    given, bundle = features(), small_bundle()
    without = answers(bundle, {TEXT: given[TEXT]}).probabilities
    rows = (np.full((6, 3), np.nan), COLUMNS[FACE])
    assert np.array_equal(answers(bundle, {TEXT: given[TEXT], FACE: rows}).probabilities, without)
    gap = given[FACE][0].copy()
    gap[0, 1] = -np.inf  # a cell without value gets the training median
    filled = gap.copy()
    filled[0, 1] = 0.5
    found = [answers(bundle, {TEXT: given[TEXT], FACE: (x, COLUMNS[FACE])}) for x in (gap, filled)]
    assert np.array_equal(found[0].probabilities, found[1].probabilities)


def test_many_rows_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    given, bundle = features(10), small_bundle()
    expected = bundle.fusion.posterior(given)
    monkeypatch.setattr("trivalent.bundle.network._CHUNK", 3)
    assert np.allclose(bundle.fusion.posterior(given), expected)
    assert answers(bundle, features(0)).probabilities.shape == (0, 3)


def test_features_that_do_not_fit() -> None:
    bundle, given = small_bundle(), features()
    with pytest.raises(FeatureError, match="features of text, face with one number of samples, got none"):
        answers(bundle, {Modality.AUDIO: given[TEXT]})
    with pytest.raises(FeatureError, match="got text: 6, face: 5"):
        answers(bundle, {TEXT: given[TEXT], FACE: (given[FACE][0][:5], COLUMNS[FACE])})
    with pytest.raises(FeatureError, match=r"expected the columns f1, f2 \(2 in all\)"):
        answers(bundle, {TEXT: given[TEXT], FACE: (given[FACE][0], ("f0", "x", "y"))})


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


CHANGES = {
    "format": (lambda c: c.update(format="trivalent.bundle/1"), "expected format 'trivalent.bundle/2'"),
    "kind": (lambda c: c["fusion"].update(kind="vote"), "a fusion of kind pool or network"),
    "classes": (lambda c: c["classes"].reverse(), "expected classes"),
    "no card": (lambda c: c.pop("card"), "expected the keys card in bundle.json"),
    "metrics a list": (lambda c: c.update(metrics=[]), "other types of values for metrics in bundle.json"),
    "graph not hashed": (lambda c: c.update(files={}), "network.onnx among the hashed files"),
    "no graph": (lambda c: c["fusion"].pop("model"), "None among the hashed files"),
    "a graph of no name": (lambda c: c["fusion"].update(model=["x"]), "among the hashed files"),
    "another hash": (lambda c: c["files"].update({GRAPH: "0" * 64}), "with sha256 000000000000"),
    "outside": (lambda c: c["files"].update({"../x": "0"}), "expected files inside .*got the path '../x'"),
    "absolute": (lambda c: c["files"].update({"/etc/passwd": "0"}), "expected files inside"),
    "absent file": (lambda c: c["files"].update({"more.onnx": "0"}), "at 'more.onnx'"),
    "modality": (
        lambda c: c["fusion"]["modalities"].update(smell={}),
        "modalities among text, audio, face .*'smell'",
    ),
    "no modality": (lambda c: c["fusion"].update(modalities={}), "expected a modality"),
    "modalities a list": (lambda c: c["fusion"].update(modalities=[]), "modalities of the network"),
    "no data": (lambda c: c["fusion"].pop("data"), "data of the network"),
    "no cleaner": (lambda c: c["fusion"]["modalities"]["text"].pop("cleaner"), "a cleaner of text"),
    "short cleaner": (
        lambda c: c["fusion"]["modalities"]["text"]["cleaner"]["mean"].pop(),
        "expected a cleaner of text",
    ),
    "data": (lambda c: c["fusion"]["data"].update(more=1), "the keys of `data`"),
    "prior": (lambda c: c["fusion"]["data"].update(prior=[1, 1, 1]), "a prior of three shares"),
    "scale": (lambda c: c["fusion"]["calibration"].update(scale=[1, 0, 1]), "three positive scales"),
    "bias": (lambda c: c["fusion"]["calibration"].pop("bias"), "a calibration in"),
    "limits": (lambda c: c["decision"]["sets"]["limits"].pop(), "three limits"),
    "rule": (lambda c: c["decision"].update(kind="ratio"), "three thresholds in"),
    "rule name": (lambda c: c["decision"].update(kind="vote"), "valid thresholds"),
    "confidence": (lambda c: c["decision"].update(min_confidence=2), "valid thresholds, min_confidence"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_malformed_bundles(folder: Path, case: str) -> None:
    change, message = CHANGES[case]
    with pytest.raises(BundleError, match=message):
        load_network(changed(folder, change))


def test_damaged_and_absent_bundles(folder: Path, tmp_path: Path) -> None:
    graph = folder / "network.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"expected network.onnx with sha256 .* damaged: get or train"):
        load_network(folder)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"expected JSON in bundle\.json"):
        load_network(folder)
    (folder / "bundle.json").write_text("[]")
    with pytest.raises(BundleError, match="got 'list'"):
        load_network(folder)
    with pytest.raises(BundleError, match=r"a folder or \.zip with bundle\.json, got .*absent'"):
        load_network(tmp_path / "absent")
    with pytest.raises(BundleError, match="expected an ONNX file"):
        answers(small_bundle(fusion=small_network(graph=b"none")), features())


def test_each_kind_of_bundle_is_refused_where_the_other_belongs(folder: Path, tmp_path: Path) -> None:
    told = (
        r"expected a bundle for recordings in .*got the fusion bundle 'small', which needs features of a "
        r"data set that no extractor makes: text by 'bert' \(2 columns\), "
        r"face by 'openface2' \(3 columns\); "
        r"judge it on a data set: trivalent evaluate .* --data NAME"
    )
    for where in (folder, tmp_path, export_bundle(folder, tmp_path / "f.zip")):
        with pytest.raises(BundleError, match=told):
            load_bundle(where)
    with pytest.raises(BundleError, match=r"of experts 'default'.*: trivalent analyze --model .*default"):
        load_network(REPOSITORY / "src" / "trivalent" / "data" / "bundles" / "default")


def test_a_zip_answers_as_its_folder(folder: Path, tmp_path: Path) -> None:
    packed = load_network(export_bundle(folder, tmp_path / "f.zip"))
    kept = load_network(folder)
    assert packed.sha256 == kept.sha256
    assert np.array_equal(
        answers(packed, features()).probabilities, answers(kept, features()).probabilities
    )


def test_a_damaged_zip(folder: Path, tmp_path: Path) -> None:
    target = export_bundle(folder, tmp_path / "f.zip")
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(folder / "bundle.json", "bundle.json")
        archive.writestr("network.onnx", b"another graph")
    with pytest.raises(BundleError, match=r"expected network\.onnx with sha256"):
        load_network(target)
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(folder / "bundle.json", "bundle.json")
    with pytest.raises(BundleError, match=r"expected a member 'network\.onnx'"):
        load_network(target)


def test_prediction_needs_neither_torch_nor_scikit_learn(folder: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from trivalent.bundle.loading import load_network\n"
        f"b = load_network({str(folder)!r})\n"
        "columns = {m: spec.cleaner.columns for m, spec in b.fusion.modalities.items()}\n"
        "b.fusion.posterior({m: (np.ones((2, len(c))), c) for m, c in columns.items()})\n"
        "import trivalent.lab.measure.evaluate\n"
        "print([m for m in ('torch', 'sklearn', 'onnx', 'pickle5') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
