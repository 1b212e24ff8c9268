"""The format of bundles: as documented, and version 1 says what version 2 says."""

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

from bundles import VOICE_COLUMNS, Manifest, age, version_1, write_bundle
from conftest import REPOSITORY
from fusion_bundles import answers, features, save_small, small_decision
from recording_networks import recording_bundle
from trivalent import Analyzer
from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.files import open_files
from trivalent.bundle.fusion import Opinion
from trivalent.bundle.loading import load_any, load_bundle, load_network, open_bundle
from trivalent.bundle.manifest import parse, upgraded
from trivalent.core.errors import BundleError
from trivalent.core.types import FeatureTable, Modality, Sentiment
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


@given(shares, thresholds, st.floats(0, 1), st.floats(0, 5), st.integers(0, 2**32 - 1))
@checked
def test_a_pool_of_version_1_answers_like_its_rewriting(
    tmp_path_factory: pytest.TempPathFactory,
    prior: list[float],
    tau: list[float],
    least: float,
    kappa: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)

    def change(content: Manifest) -> None:
        weights = {m: float(rng.random()) for m in Modality}
        content["fusion"].update(
            prior=prior, kappa=kappa, beside_words=float(rng.random()), weights=weights
        )
        content["decision"].update(values=tau, min_confidence=least)
        for entry in content["experts"].values():
            entry["temperature"] = float(rng.uniform(0.5, 2))

    folder = tmp_path_factory.getbasetemp() / "pool"
    old = age(write_bundle(folder / "1", change=change))
    one, two = load_bundle(old), load_bundle(rewritten(old, folder / "2"))
    opinions = {
        m: Opinion(rng.dirichlet(np.ones(3)), one.experts[m].spec.prior, float(rng.random()))
        for m in Modality
        if rng.random() < 0.8
    }
    for b in (one, two):
        assert b.decision.min_confidence == least
    fused = [b.fusion.fuse(opinions) for b in (one, two)]
    assert np.array_equal(fused[0].probabilities, fused[1].probabilities)
    verdicts = [b.decision.decide(f.probabilities) for b, f in zip((one, two), fused, strict=True)]
    assert len({(v.label, v.confidence, v.abstained) for v in verdicts}) == 1
    voice = FeatureTable("covarep", "2", VOICE_COLUMNS, np.arange(40) / 100, rng.random((40, 3)) * 90)
    said = [b.experts[Modality.AUDIO].from_table(voice) for b in (one, two)]
    assert np.array_equal(said[0][0], said[1][0])
    ids = rng.integers(1, 999, (2, 7))
    words = [b.experts[Modality.TEXT].from_tokens(ids, np.ones_like(ids)) for b in (one, two)]
    assert np.array_equal(words[0], words[1])


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


@pytest.mark.parametrize("write", [write_bundle, save_small])
def test_manifests_of_both_versions_say_the_same(write: Any, tmp_path: Path) -> None:
    new = manifest(write(tmp_path / "2"))
    assert told(upgraded(version_1(new))) == told(new)
    assert told(manifest(rewritten(tmp_path / "2", tmp_path / "3"))) == told(new)
    age(tmp_path / "2")
    assert told(parse(open_files(tmp_path / "2"))) == told(new)


def test_the_shipped_bundle_of_version_1_answers_like_its_rewriting(tmp_path: Path) -> None:
    assert manifest(open_bundle("fast").where)["format"] == "trivalent.bundle/1"
    texts = ["I love how this turned out.", "The meeting is at noon."]
    found = []
    for model in ("fast", rewritten(open_bundle("fast").where, tmp_path / "2")):
        said = [analysis.to_dict() for analysis in Analyzer(model, threads=1).analyze_texts(texts)]
        found.append([[a["overall"], a["utterances"], a["warnings"]] for a in said])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "key", ["version", "modalities", "fusion", "thresholds", "min_confidence", "files"]
)
def test_a_key_that_version_1_lacks_is_named_as_it_is_there(tmp_path: Path, key: str) -> None:
    folder = age(write_bundle(tmp_path))
    content = manifest(folder)
    del content[key]
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match=f"expected the keys {key} in"):
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
