"""Bundles from strangers: good ones are added at once and whole, hostile ones leave no trace."""

from __future__ import annotations

import contextlib
import json
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bundles import Manifest, linear_graph, text_graph, write_bundle, zip_bundle
from trivalent.bundle import archive as bundle_archive
from trivalent.bundle import shelf as bundle_store
from trivalent.bundle.archive import unpack
from trivalent.bundle.graphs import check_self_contained
from trivalent.bundle.loading import load_bundle
from trivalent.bundle.shelf import added_bundles, install, remove, resolve
from trivalent.bundle.trial import examine
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, NotFoundError

FACE = ["face"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def packed(folder: Path, *, change: Callable[[Manifest], None] | None = None) -> Path:
    write_bundle(folder, modalities=FACE, change=change)
    return zip_bundle(folder, folder.with_suffix(".zip"))


def leftovers(home: Path) -> list[str]:
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


def test_a_bundle_is_added_found_replaced_and_removed(home: Path, tmp_path: Path) -> None:
    first = install(zip_bundle(write_bundle(tmp_path / "a"), tmp_path / "a.zip"), home)
    assert added_bundles(home) == ["tiny"]
    assert resolve("tiny", home) == home / "bundles" / "tiny"
    assert load_bundle(resolve("tiny", home)).sha256 == first.sha256

    second = packed(tmp_path / "b", change=lambda m: m.update(version="8"))
    with pytest.raises(BundleError, match="'tiny', which is taken"):
        install(second, home)
    assert load_bundle(resolve("tiny", home)).version == "7"
    assert install(second, home, replace=True).version == "8"
    assert leftovers(home) == ["bundles/tiny/bundle.json", "bundles/tiny/face.onnx"]

    remove("tiny", home)
    assert leftovers(home) == []
    with pytest.raises(NotFoundError, match="'tiny'"):
        remove("tiny", home)


def test_a_folder_inside_the_archive_is_accepted(home: Path, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "a", modalities=FACE)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.mkdir("my-bundle")
        for path in folder.iterdir():
            opened.write(path, f"my-bundle/{path.name}")
    assert install(archive, home).name == "tiny"
    assert leftovers(home) == ["bundles/tiny/bundle.json", "bundles/tiny/face.onnx"]


def test_names_are_resolved_but_never_paths(home: Path, tmp_path: Path) -> None:
    assert resolve("default", home) == "default"
    inside = write_bundle(home / "bundles" / "UPPER", modalities=FACE)
    for name in (str(inside), "UPPER", "../bundles/UPPER", "nothing", ""):
        with pytest.raises(BundleError, match=r"among default, .*got"):
            resolve(name, home)
    with pytest.raises(NotFoundError):
        remove("default", home)


@pytest.mark.parametrize("name", ["default", "../evil", "Upper", "", "a/b", "x" * 65])
def test_a_bundle_cannot_choose_any_name(home: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="name"):
        install(packed(tmp_path / "b", change=lambda m: m.update(name=name)), home)
    assert leftovers(home) == []


def entry(name: str, *, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def repacked(folder: Path, add: Callable[[zipfile.ZipFile], Any]) -> Path:
    archive = packed(folder)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        add(opened)
    return archive


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("add", "told"),
    [
        (lambda z: z.writestr("../outside", b"x"), "plain relative names"),
        (lambda z: z.writestr("/etc/absolute", b"x"), "plain relative names"),
        (lambda z: z.writestr("c:\\windows", b"x"), "plain relative names"),
        (lambda z: z.writestr("a/./b", b"x"), "plain relative names"),
        (lambda z: z.writestr(".hidden", b"x"), "plain relative names"),
        (lambda z: z.writestr(entry("a/b/c/d/e"), b"x"), "plain relative names"),
        (lambda z: z.writestr(entry("link", mode=stat.S_IFLNK | 0o777), b"/etc/passwd"), "link or device"),
        (lambda z: z.writestr("face.onnx", b"x"), "face.onnx more than once"),
        (lambda z: z.writestr("FACE.onnx", b"x"), "face.onnx more than once"),
        (lambda z: z.writestr("zeros", bytes(20_000_000)), "times the packed size"),
        (lambda z: [z.writestr(f"f{i}", b"x") for i in range(70)], "at most 64 files"),
    ],
    ids=["up", "absolute", "drive", "dot", "hidden", "deep", "link", "twice", "case", "bomb", "many"],
)
def test_hostile_archives_are_refused_before_unpacking(
    home: Path, tmp_path: Path, add: Callable[[zipfile.ZipFile], Any], told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        install(repacked(tmp_path / "b", add), home)
    assert leftovers(home) == []
    assert {p.name for p in tmp_path.iterdir()} <= {"b", "b.zip", "home"}


def test_a_size_that_lies_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path / "b")
    true_sizes = zipfile.ZipFile.infolist

    def claimed(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        members = true_sizes(opened)
        for info in members:
            info.file_size = 3
        return members

    monkeypatch.setattr(zipfile.ZipFile, "infolist", claimed)
    with pytest.raises(BundleError, match=r"got more|readable member"):
        unpack(archive, tmp_path / "out")


def test_too_much_is_refused_by_its_announced_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_archive, "LIMITS", replace(bundle_archive.LIMITS, total_bytes=100))
    with pytest.raises(BundleError, match="expected at most 0 MiB unpacked"):
        unpack(packed(tmp_path / "b"), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x04\x95pickle"])
def test_what_is_no_zip_is_told(home: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"expected a readable \.zip"):
        install(path, home)


def test_a_file_that_bundle_json_does_not_list_is_refused(home: Path, tmp_path: Path) -> None:
    archive = repacked(tmp_path / "b", lambda z: z.writestr("model.pkl", b"cos\nsystem\n"))
    with pytest.raises(BundleError, match=r"only files that bundle\.json lists, got model\.pkl"):
        install(archive, home)
    assert leftovers(home) == []


def test_a_changed_graph_is_refused(home: Path, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b", modalities=FACE)
    (folder / "face.onnx").write_bytes(linear_graph(np.zeros((2, 3))))
    with pytest.raises(
        BundleError, match=r"expected face\.onnx with sha256 .* in it; the bundle is damaged"
    ):
        install(zip_bundle(folder, tmp_path / "b.zip"), home)
    assert leftovers(home) == []


def with_graph(folder: Path, graph: bytes) -> Path:
    """A bundle whose hashes are right, with another graph."""
    import hashlib

    write_bundle(folder, modalities=FACE)
    (folder / "face.onnx").write_bytes(graph)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"]["face.onnx"] = hashlib.sha256(graph).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def external(weights: np.ndarray, location: str) -> bytes:
    tensor = numpy_helper.from_array(weights.astype(np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["logits"])],
        "external",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [tensor],
    )
    return helper.make_model(graph).SerializeToString()


def hidden_in_a_branch() -> bytes:
    """External data in a constant of a subgraph: initializers alone are not enough to look at."""
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    tensor.data_location = TensorProto.EXTERNAL
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [])
    node = helper.make_node("If", ["condition"], ["logits"], then_branch=branch, else_branch=branch)
    return helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (external(np.zeros((2, 3)), "/etc/passwd"), "another file"),
        (external(np.zeros((2, 3)), "weights.bin"), "another file"),
        (hidden_in_a_branch(), "another file"),
        (b"\x00\x00\x00\x00ORTM" + bytes(40), "onnxruntime's own format"),
        (b"cos\nsystem\n(S'true'\ntR.", r"expected an ONNX"),
        (linear_graph(np.zeros((2, 4))), r"answer of the face expert|finite probabilities"),
        (linear_graph(np.full((2, 3), np.inf)), "finite probabilities"),
        (linear_graph(np.zeros((5, 3))), "answer of the face expert"),
    ],
    ids=["absolute", "beside", "branch", "ort", "pickle", "classes", "infinite", "width"],
)
def test_graphs_that_reach_out_or_do_not_answer_are_refused(
    tmp_path: Path, graph: bytes, told: str
) -> None:
    with pytest.raises(BundleError, match=told):
        examine(with_graph(tmp_path / "b", graph))


def test_a_bundle_that_kills_its_process_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = packed(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as opened:
        opened.writestr("bundle.json", "[" * 200_000)
        opened.writestr("face.onnx", zipfile.ZipFile(deep).read("face.onnx"))
    with pytest.raises(BundleError, match=r"RecursionError|crash"):
        install(tmp_path / "c.zip", home)
    monkeypatch.setattr(bundle_store, "TRIAL_S", 0.01)
    with pytest.raises(BundleError, match="answers within"):
        install(deep, home)
    assert leftovers(home) == []


def test_our_own_graphs_are_self_contained() -> None:
    check_self_contained(text_graph(), "text.onnx")
    assert examine(DATA / "bundles" / "default")["name"] == "default"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_onnx_or_refused(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        check_self_contained(data, "any")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_flipped_byte_never_writes_elsewhere(tmp_path: Path, at: int, value: int) -> None:
    """The archive is unpacked as it was, or refused with our own error."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=tmp_path) as scratch:
        archive = packed(Path(scratch) / "b")
        data = bytearray(archive.read_bytes())
        data[at % len(data)] = value
        archive.write_bytes(data)
        target = Path(scratch) / "new"
        with contextlib.suppress(BundleError):
            unpack(archive, target)
        written = {p.relative_to(scratch).parts[0] for p in Path(scratch).rglob("*")}
        assert written <= {"b", "b.zip", "new"}
