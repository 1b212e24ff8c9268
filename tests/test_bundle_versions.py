"""The format of bundles: as documented, and a network of version 1 says what version 2 says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="needs the extra train")

from bundles import Manifest, age, version_1, write_bundle
from conftest import REPOSITORY
from fusion_bundles import answers, features, save_small, small_decision
from recording_networks import recording_bundle
from test_steps import bundle as steps_bundle
from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.files import open_files
from trivalent.bundle.loading import load_any, load_bundle, load_network, open_bundle
from trivalent.bundle.manifest import parse, upgraded
from trivalent.core.errors import BundleError
from trivalent.core.types import Modality, Sentiment
from trivalent.lab import bundles as lab

checked = settings(max_examples=30, deadline=None)
shares = st.tuples(*[st.floats(0.05, 1)] * 3).map(lambda p: (np.array(p) / sum(p)).tolist())
thresholds = st.tuples(*[st.floats(0.01, 1)] * 3).map(list)


def rewritten(where: Path, folder: Path) -> Path:
    """Load a bundle of any version, and write it as the lab does."""
    bundle, files = load_any(where), open_bundle(where)
    lab.write_bundle(
        folder,
        name=bundle.name,
        version=bundle.version,
        experts={m: e.spec for m, e in bundle.experts.items()},
        fusion=bundle.fusion,
        decision=bundle.decision,
        card=bundle.card,
        metrics=bundle.metrics,
        graphs={name: files.read(name) for name in parse(files)["files"]},
    )
    return folder


def manifest(folder: Path) -> Manifest:
    content: Manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return content


def told(content: Manifest) -> Manifest:
    """What a manifest says, without who wrote it in which format."""
    return {k: v for k, v in json.loads(json.dumps(content)).items() if k not in ("format", "trivalent")}


RULES = st.one_of(
    st.just(DecisionRule()),
    thresholds.map(lambda tau: DecisionRule(DecisionKind.RATIO, tuple(tau))),
    st.builds(
        lambda t, of: DecisionRule(DecisionKind.THRESHOLD, (t,), int(of)),
        st.floats(0.01, 1),
        st.sampled_from(Sentiment),
    ),
)


@given(RULES, st.integers(0, 2**32 - 1))
@checked
def test_a_network_of_version_1_answers_like_its_rewriting(
    tmp_path_factory: pytest.TempPathFactory, rule: DecisionRule, seed: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "network"
    old = age(save_small(folder / "1", decision=small_decision(rule)))
    one, two = load_network(old), load_network(rewritten(old, folder / "2"))
    asked = features(9, seed=seed)
    asked[Modality.FACE][0][::2] = np.nan
    found = [answers(b, asked) for b in (one, two)]
    for name in ("probabilities", "decisions", "confidence", "answered", "sets"):
        assert np.array_equal(*(getattr(own, name) for own in found)), name
    assert (one.card, one.metrics, one.fusion.data) == (two.card, two.metrics, two.fusion.data)


def test_manifests_of_both_versions_say_the_same(tmp_path: Path) -> None:
    new = manifest(save_small(tmp_path / "2"))
    assert told(upgraded(version_1(new))) == told(new)
    assert told(manifest(rewritten(tmp_path / "2", tmp_path / "3"))) == told(new)
    age(tmp_path / "2")
    assert told(parse(open_files(tmp_path / "2"))) == told(new)


def test_a_pool_of_an_earlier_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Its weights meant something else: an answer by today's rule would be another one."""
    folder = write_bundle(tmp_path)
    content = manifest(folder)
    content["fusion"] = {"kind": "pool", "weights": {"text": 1.0}, "prior": [0.3, 0.4, 0.3], "kappa": 2.0}
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match="train it again"):
        load_bundle(folder)
    (folder / "bundle.json").write_text(json.dumps(content | {"format": "trivalent.bundle/1"}))
    with pytest.raises(BundleError, match=r"expected format 'trivalent\.bundle/2'.*export it anew"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(kind="text"), "a fusion of kind pool or network in .*got 'text'"),
        (lambda c: c.pop("answering"), "expected the keys answering in"),
        (lambda c: c.update(answering=[]), "other types of values for answering"),
        (lambda c: c["answering"].pop("calibration"), "expected a calibration in"),
        (lambda c: c["answering"].pop("conformal"), "valid thresholds, min_confidence and sets"),
        (lambda c: c["answering"]["decision"].pop("of"), "valid thresholds, min_confidence and sets"),
    ],
)
def test_a_network_of_version_1_that_is_malformed(tmp_path: Path, change: Any, message: str) -> None:
    folder = age(save_small(tmp_path))
    content = manifest(folder)
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        load_network(folder)


FREE = {"card", "metrics", "files", "compressed_from", "weights", "removed", "repaired", "options"}


def keys(content: Manifest, above: str = "") -> set[str]:
    """Keys of a manifest with dots between levels; a modality is M."""
    found: set[str] = set()
    for key, value in content.items():
        name = above + ("M" if key in list(Modality) else key)
        inner = isinstance(value, dict) and key not in FREE
        found |= keys(value, f"{name}.") if inner else {name}
    return found


def test_the_documented_keys_are_those_that_are_written(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "bundles.md").read_text(encoding="utf-8")
    table = text.split("<!-- keys -->")[1].split("<!-- end -->")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (\w*)", table, flags=re.MULTILINE)
    pool, network = (
        {key for key, said in rows if said in ("", "optional", kind)} - {"compressed_from"}
        for kind in ("pool", "network")
    )
    assert keys(manifest(rewritten(write_bundle(tmp_path / "a"), tmp_path / "b"))) == pool
    without = {key for key in network if not key.startswith("experts.")}
    assert keys(manifest(save_small(tmp_path / "c"))) == without
    recordings = {key for key, said in rows if said == "recordings"}
    written = keys(manifest(recording_bundle(tmp_path / "d", whisper="base.en")))
    assert written - without == recordings - {"fusion.modalities.M.names"}
    assert without <= written
    of_steps = {key for key, said in rows if said in ("sequences", "frames")}
    assert keys(manifest(steps_bundle(tmp_path / "e", set(Modality)))) - written == of_steps
