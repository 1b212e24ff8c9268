"""Sequences of words and frames, from data to a network that reads them, to an analysis."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
for package in ("yaml", "onnxscript", "matplotlib"):
    pytest.importorskip(package, reason="needs the extra train")

from conftest import REPOSITORY, data_root  # noqa: E402
from test_mmsa import part  # noqa: E402
from trivalent.analyzer import Analyzer  # noqa: E402
from trivalent.bundle.loading import installed_bundles, load_network  # noqa: E402
from trivalent.cli.main import main  # noqa: E402
from trivalent.core.assets import DATA  # noqa: E402
from trivalent.core.errors import FeatureError, RecipeError, TrivalentError  # noqa: E402
from trivalent.core.types import Modality  # noqa: E402
from trivalent.lab.datasets.dataset import Features, stacked  # noqa: E402
from trivalent.lab.datasets.own_features import OwnFeatures  # noqa: E402
from trivalent.lab.fusion.recipe import parse_fusion  # noqa: E402
from trivalent.lab.fusion.seed_training import train_system  # noqa: E402
from trivalent.lab.problems.cleaning import fit_cleaner  # noqa: E402
from trivalent.lab.problems.encoders import encoder_of  # noqa: E402
from trivalent.lab.recipes import read_recipe  # noqa: E402

SEQUENCES = REPOSITORY / "recipes" / "sequences.yaml"
SAMPLE = DATA / "samples" / "sample.mp4"
SMALL = ["seeds=[0]", "training.epochs=1", "network_options.width=4", "network_options.layers=1"]
SMALL += ["network_options.heads=1", "modalities=[text,audio]"]


def train(out: Path, *changes: str) -> int:
    options = [x for change in (*SMALL, *changes) for x in ("--set", change)]
    return main(["train", str(SEQUENCES), *options, "-o", str(out)])


def test_sequences_are_padded_and_their_steps_count_alike() -> None:
    values = stacked([np.array([[1.0], [3.0]]), np.empty((0, 1)), np.array([[5.0]] * 3)], 1)
    block = Features("demo", ("x",), values)
    assert (values.shape, block.steps) == ((3, 3, 1), 3)
    assert block.present.tolist() == [True, False, True]
    assert fit_cleaner(block).mean == pytest.approx([19 / 5])
    assert Features("demo", ("x",), stacked([np.array([1.0]), np.array([2.0])], 1)).steps == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["network=attention"], r"reads sequences \(mult.*\), got attention for features\.steps=words"),
        (["features.steps=wrods"], "did you mean 'words'"),
        (["resampling=adasyn"], "unchanged for sequences, got adasyn"),
    ],
)
def test_what_cannot_read_sequences_is_told_before_the_work(changes: list[str], message: str) -> None:
    with pytest.raises(TrivalentError, match=message):
        parse_fusion(read_recipe(SEQUENCES, overrides=changes), where="test")


def test_a_data_set_of_vectors_has_no_steps() -> None:
    recipe = parse_fusion(read_recipe(SEQUENCES, overrides=["data=meld"]), where="test")
    with pytest.raises(RecipeError, match="meld has vectors alone"):
        recipe.entry()
    with pytest.raises(FeatureError, match="from 1 to 2,000, got 0"):
        OwnFeatures(steps="frames", most=0)


def test_the_steps_of_an_mmsa_pickle_train_a_network(tmp_path: Path) -> None:
    path = tmp_path / "steps.pkl"
    path.write_bytes(pickle.dumps({"train": part(12), "valid": part(5), "test": part(6)}))
    recipe = parse_fusion(read_recipe(SEQUENCES, overrides=[f"data={path}", *SMALL]), where="test")
    assert recipe.entry().protocol().name == "stored-steps"
    problem = recipe.problem()
    assert problem.sequences == {Modality.TEXT: 5, Modality.AUDIO: 7}
    encoder = encoder_of(problem.extractors[Modality.TEXT], problem.cleaners[Modality.TEXT].columns, 5)
    assert encoder.steps is not None
    assert not encoder.from_recordings, "no recording gives what somebody else has extracted"
    trained = train_system(recipe.system(), problem, (0, 1))
    together = trained.logits(problem.parts.train)
    first = problem.parts.train.features[Modality.AUDIO][:1]
    assert np.isfinite(first).any(axis=2).sum() == 1, "of one step, beside twelve"
    alone = {Modality.AUDIO: first[:, :2], Modality.TEXT: problem.parts.train.features[Modality.TEXT][:1]}
    short = replace(problem.parts.train, features=alone, groups=problem.parts.train.groups[:1])
    np.testing.assert_allclose(trained.logits(short)[:, 0], together[:, 0], atol=1e-5)


def test_recordings_train_a_network_over_words_that_analyses_another(tmp_path: Path) -> None:
    films = sorted((data_root() / "crema_d").glob("*.flv"))[:4]
    if len(films) < 4 or "default" not in installed_bundles():
        pytest.skip("needs CREMA-D clips and the default bundle")
    (tmp_path / "said.txt").write_text("Don't forget a jacket.\n")
    labels, parts = ("negative", "positive", "neutral", "negative"), ("train", "train", "val", "test")
    rows = zip(films, labels, parts, strict=True)
    lines = [f"{film},{label},{part},{part},said.txt" for film, label, part in rows]
    table, out = tmp_path / "mine.csv", tmp_path / "run"
    table.write_text("\n".join(["path,label,speaker,split,transcript", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIVALENT_CACHE", str(tmp_path / "cache"))
        assert train(out, f"data={table}") == 0
        assert main(["evaluate", str(out), "--data", str(table), "--rounds", "0"]) == 0
    network = load_network(out).fusion
    kinds = {m: spec.encoder.steps.kind for m, spec in network.modalities.items() if spec.encoder.steps}
    assert kinds == {Modality.TEXT: "rows", Modality.AUDIO: "words"}
    first = Analyzer(out).analyze(SAMPLE).utterances[0]
    assert {first.modalities[m].status for m in kinds} == {"ok"}
    assert set(first.joint) == {"text+audio"}
