"""Bundles: what is written is read, and what is wrong is refused with both sides named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import (
    FACE_COLUMNS,
    FACE_WEIGHTS,
    PRIOR,
    Manifest,
    experts,
    linear_graph,
    tabular_spec,
    text_graph,
    write_bundle,
    zip_bundle,
)
from trivalent.bundle.fusion import Beside, softmax
from trivalent.bundle.loading import Expert, ExpertSpec, installed_bundles, load_bundle
from trivalent.core.errors import BundleError
from trivalent.core.types import FeatureTable, Modality
from trivalent.features.registry import extractor
from trivalent.features.text import encode, pad


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def face_table(smile: list[float], frown: list[float]) -> FeatureTable:
    values = np.stack([smile, frown], axis=1)
    return FeatureTable("face", "1", FACE_COLUMNS, 0.2 * np.arange(len(values)), values)


def test_round_trip_of_a_folder_and_its_zip(folder: Path, tmp_path: Path) -> None:
    packed = zip_bundle(folder, tmp_path / "tiny.zip")
    for where in (folder, str(folder), packed, str(packed)):
        bundle = load_bundle(where, threads=1)
        assert (bundle.name, bundle.version) == ("tiny", "7")
        assert list(bundle.experts) == list(Modality)
        assert bundle.card == {"summary": "for tests"}
        assert bundle.fusion.beside == {m: Beside(0.6, 0.3) for m in Modality}
        for modality, (spec, _) in experts().items():
            loaded = bundle.experts[modality].spec
            assert loaded.to_dict() == spec.to_dict()
        assert len(bundle.sha256) == 64
    assert load_bundle(folder).sha256 == load_bundle(packed).sha256


def test_spec_survives_json() -> None:
    for spec, _ in experts().values():
        back = ExpertSpec.from_dict(json.loads(json.dumps(spec.to_dict())), where="here")
        assert back.to_dict() == spec.to_dict()
        assert isinstance(back.columns, tuple)
        assert isinstance(back.pooling, tuple)


def test_a_bundle_may_have_any_of_the_modalities(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "b", modalities=["face"]))
    assert list(bundle.experts) == [Modality.FACE]


def test_text_expert_runs_and_ignores_padding(folder: Path) -> None:
    expert = load_bundle(folder, threads=1).experts[Modality.TEXT]
    texts = ["a good film", "one that is a good deal longer, and bad"]
    together = expert.from_tokens(*pad(encode(texts)))
    alone = np.concatenate([expert.from_tokens(*pad(encode([text]))) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1)
    vectors = expert.embed(*pad(encode(texts)))
    assert vectors.shape == (2, 384)
    np.testing.assert_allclose(vectors[:1], expert.embed(*pad(encode(texts[:1]))), atol=1e-6)


def test_embedding_needs_a_sentence_output(tmp_path: Path) -> None:
    spec, _ = experts()[Modality.TEXT]
    expert = Expert(spec, lambda: text_graph(sentence=False), threads=1)
    with pytest.raises(BundleError, match=r"'sentence' of text\.onnx"):
        expert.embed(*pad(encode(["hello"])))


def test_temperature_softens() -> None:
    spec = tabular_spec("face", FACE_COLUMNS, pooling=(), model="m", temperature=2.0)
    expert = Expert(spec, lambda: b"", threads=1)
    np.testing.assert_allclose(expert.calibrate(np.array([[2.0, 0, 0]])), softmax(np.array([[1.0, 0, 0]])))


def test_pooled_expert_equals_the_formula(folder: Path) -> None:
    expert = load_bundle(folder).experts[Modality.FACE]
    probabilities, repaired = expert.from_table(face_table([0.2, 0.6, 0.4], [0.0, 0.2, 0.1]))
    np.testing.assert_allclose(probabilities, softmax(np.array([0.4, 0.1]) @ FACE_WEIGHTS), atol=1e-6)
    assert repaired == 0


def face_expert(**changes: Any) -> Expert:
    spec = tabular_spec(
        "face", FACE_COLUMNS, pooling=("mouthSmileLeft.mean", "browDownLeft.mean"), model="m", **changes
    )
    return Expert(spec, lambda: linear_graph(FACE_WEIGHTS), threads=1)


def test_normalised_features_are_clipped() -> None:
    expert = face_expert(mean=np.array([1.0, 0.0]), scale=np.array([0.5, 1.0]), clip=3.0)
    probabilities, _ = expert.from_table(face_table([100.0], [0.5]))
    np.testing.assert_allclose(probabilities, softmax(np.array([3.0, 0.5]) @ FACE_WEIGHTS), atol=1e-6)


def test_missing_statistics_become_the_training_mean_up_to_a_limit() -> None:
    table = face_table([0.4, 0.4], [np.nan, np.nan])
    probabilities, repaired = face_expert(max_missing=0.5, mean=np.array([0.0, 9.0])).from_table(table)
    np.testing.assert_allclose(probabilities, softmax(np.array([0.4, 0.0]) @ FACE_WEIGHTS), atol=1e-6)
    assert repaired == 1
    assert face_expert(max_missing=0.4).from_table(table) == (None, 1)


SETS = {"score": "lac", "coverage": 1.0, "limits": [None, None, None], "calibrated_on": [0, 0, 0]}


def spoil(folder: Path, key: str, value: Any) -> Path:
    def change(manifest: Manifest) -> None:
        *parents, last = key.split("/")
        for parent in parents:
            manifest = manifest[parent]
        if value is None:
            del manifest[last]
        else:
            manifest[last] = value

    return write_bundle(folder, change=change)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_damaged_graph_is_refused(folder: Path, tmp_path: Path, zipped: bool) -> None:
    graph = folder / "face.onnx"
    raw = bytearray(graph.read_bytes())
    raw[len(raw) // 2] ^= 1
    graph.write_bytes(raw)
    where = zip_bundle(folder, tmp_path / "tiny.zip") if zipped else folder
    with pytest.raises(BundleError, match=r"expected face\.onnx with sha256 .* the bundle is damaged"):
        load_bundle(where)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_absent_graph_is_refused(folder: Path, tmp_path: Path, zipped: bool) -> None:
    (folder / "face.onnx").unlink()
    where = zip_bundle(folder, tmp_path / "tiny.zip") if zipped else folder
    with pytest.raises(BundleError, match=r"face\.onnx"):
        load_bundle(where)


def test_foreign_columns_are_refused_with_both_lists(tmp_path: Path) -> None:
    where = spoil(tmp_path / "b", "experts/face/columns", ["mouthSmileLeft", "AU12_r", "AU04_r"])
    with pytest.raises(BundleError) as caught:
        load_bundle(where)
    message = str(caught.value)
    assert "2 others: AU12_r, AU04_r" in message
    besides = [c for c in extractor("face").columns if c != "mouthSmileLeft"]
    assert f"the extractor has besides: {', '.join(besides[:6])} and {len(besides) - 6} more" in message


def test_another_version_of_the_extractor_is_refused(tmp_path: Path) -> None:
    where = spoil(tmp_path / "b", "experts/audio/extractor_version", "0")
    with pytest.raises(BundleError, match=r"covarep version \d+, got audio features of version 0"):
        load_bundle(where)


def test_an_unknown_extractor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected an extractor among .* for face, got 'openpose'"):
        load_bundle(spoil(tmp_path / "b", "experts/face/extractor", "openpose"))


@pytest.mark.parametrize(
    "key",
    ["name", "version", "classes", "experts", "fusion", "decision", "card", "metrics", "files"],
)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BundleError, match=f"expected the keys {key} in"):
        load_bundle(spoil(tmp_path / "b", key, None))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "trivalent.bundle/3", "expected format 'trivalent.bundle/2'.*got 'trivalent.bundle/3'"),
        ("classes", ["positive", "neutral", "negative"], "expected classes negative, neutral"),
        ("experts/face/mean", None, "modality face, got a bad or absent key: 'mean'"),
        ("experts/face/mean", [0.0], "of one length"),
        ("experts/face/temperature", 0.0, "temperature > 0"),
        ("experts/face/temperature", "warm", "bad or absent key"),
        ("experts/face/model", "elsewhere.onnx", "among the hashed files"),
        ("fusion/beside", {"text": {"polar": -1.0, "neutral": -1.0}}, "0 <= neutral <= polar <= 1"),
        ("fusion/prior", [0.5, 0.5], "prior of three numbers >= 0"),
        ("fusion/prior", [0.5, 0.5, 0.5], "sum to 1"),
        ("fusion/mixed_above", None, "mixed_above"),
        ("fusion/beside", {"smell": {"polar": 1.0, "neutral": 1.0}}, "smell"),
        ("experts/face/strength", 0.0, "strength > 0"),
        ("experts/smell", {}, "expected modalities among text, audio, face .*got 'smell'"),
        ("experts/face/prior", [1.0, 0.0], "prior of three positive numbers"),
        ("experts/face/prior", [1.0, 0.0, 0.0], "prior of three positive numbers"),
        ("experts/face/pooling", ["mouthSmileLeft.mean", "mouthSmileLeft.mood"], "mood"),
        ("experts/face/pooling", ["mouthSmileLeft.mean", "jawOpen.mean"], "to be listed.*jawOpen"),
        ("experts", [], "other types of values for experts"),
        ("fusion/kind", "vote", "a fusion of kind pool or network in .*got 'vote'"),
        ("fusion/kind", None, "a fusion of kind pool or network in .*got None"),
        ("files", "none", "other types of values for files"),
        ("decision/values", [0.5, 0.5], "expected valid thresholds"),
        ("decision/values", [0.0, 0.5, 0.5], "expected valid thresholds"),
        ("decision/values", [None, 0.5, 0.5], "expected valid thresholds"),
        ("decision/kind", "argmax", "expected valid thresholds"),
        ("decision/kind", "vote", "expected valid thresholds.*'vote'"),
        ("decision/of", "best", "expected valid thresholds"),
        ("decision/min_confidence", 2.0, "expected valid thresholds, min_confidence and sets"),
        ("decision/sets", None, "expected valid thresholds, min_confidence and sets"),
        ("decision/sets/limits", [1.0], "three limits"),
        (
            "decision",
            {"kind": "argmax", "values": [], "of": "negative", "min_confidence": 0, "sets": SETS},
            "kind ratio with a pool",
        ),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(spoil(tmp_path / "b", key, value))


@pytest.mark.parametrize("path", ["../outside.onnx", "/etc/hostname", "sub/../../outside.onnx"])
def test_paths_outside_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.onnx").write_bytes(b"x")
    where = spoil(tmp_path / "b", "files/face.onnx", None)
    manifest = json.loads((where / "bundle.json").read_text())
    manifest["files"][path] = "0" * 64
    (where / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="expected files inside"):
        load_bundle(where)
    with pytest.raises(BundleError, match="expected a member"):
        load_bundle(zip_bundle(where, tmp_path / "b.zip"))


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (folder / "face.onnx").rename(outside)
    (folder / "face.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="expected files inside"):
        load_bundle(folder)


def test_duplicate_keys_are_refused(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('{"format"', '{"name": "other", "format"', 1))
    with pytest.raises(BundleError, match=r"duplicate keys \['name'\]"):
        load_bundle(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[]", b'"text"', b"null"])
def test_a_manifest_that_is_none_is_refused(folder: Path, raw: bytes) -> None:
    (folder / "bundle.json").write_bytes(raw)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(folder)


def test_no_bundle_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for where in ("nowhere", tmp_path / "empty", tmp_path / "text.zip"):
        with pytest.raises(BundleError, match=r"or a folder or \.zip with bundle\.json"):
            load_bundle(where)
    with pytest.raises(BundleError, match=r"expected a member 'bundle\.json'"):
        load_bundle(tmp_path / "other.zip")


def test_a_damaged_archive_is_refused(folder: Path, tmp_path: Path) -> None:
    packed = zip_bundle(folder, tmp_path / "b.zip")
    raw = packed.read_bytes()
    packed.write_bytes(raw.replace(b'"format"', b'"farmot"', 1))
    with pytest.raises(BundleError, match=r"expected a readable member 'bundle\.json'"):
        load_bundle(packed)
    packed.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(BundleError, match=r"b\.zip"):
        load_bundle(packed)


def test_a_graph_that_is_none_is_told_on_first_use() -> None:
    spec, _ = experts()[Modality.FACE]
    expert = Expert(spec, lambda: b"no graph", threads=1)
    with pytest.raises(BundleError, match=r"expected an ONNX file in face\.onnx"):
        expert.run(np.zeros((1, 2)))


def test_graphs_are_read_only_when_used() -> None:
    spec, graph = experts()[Modality.FACE]
    reads: list[int] = []

    def read() -> bytes:
        reads.append(1)
        return graph

    expert = Expert(spec, read, threads=1)
    assert not reads
    expert.run(np.zeros((1, 2)))
    expert.run(np.ones((5, 2)))
    assert len(reads) == 1


def test_default_bundle_loads() -> None:
    if "default" not in installed_bundles():
        pytest.skip("the default bundle is not installed; train recipes/default.yaml")
    bundle = load_bundle("default", threads=1)
    assert set(bundle.experts) == set(Modality)
    assert np.isclose(bundle.fusion.prior.sum(), 1)
    verdicts = bundle.experts[Modality.TEXT].from_tokens(*pad(encode(["I love it!", "It is terrible."])))
    assert verdicts.argmax(1).tolist() == [2, 0]
    assert PRIOR.shape == bundle.fusion.prior.shape
