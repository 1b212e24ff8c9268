"""Bundles made to hurt: refused by `BundleError` in one clear line, without filling the memory."""

from __future__ import annotations

import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bundles import FACE_COLUMNS, age, linear_graph, tabular_spec, write_bundle, zip_bundle
from fusion_bundles import features, save_small, small_network
from recording_networks import recording_bundle
from trivalent.bundle.loading import Expert, load_bundle, load_network
from trivalent.bundle.trial import examine
from trivalent.core.errors import BundleError
from trivalent.core.types import Modality

Loader = Callable[[Path], object]
KINDS: dict[str, tuple[Callable[[Path], object], Loader]] = {
    "experts": (write_bundle, load_bundle),
    "network": (save_small, load_network),
    "network, version 1": (lambda folder: age(save_small(folder)), load_network),
    "recordings": (lambda folder: recording_bundle(folder, (Modality.AUDIO, Modality.FACE)), examine),
}


@pytest.fixture(params=["experts", "network"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Loader]:
    """A whole bundle of each kind, and what loads it."""
    write, load = KINDS[request.param]
    folder = tmp_path / "b"
    write(folder)
    return folder, load


def refuse(where: Path, load: Loader, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        load(where)
    check_line(caught.value)


def check_line(error: Exception) -> None:
    """One clear line, of a length that can be read."""
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = folder / "bundle.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


# --- files


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_paths_that_lead_out(kind: tuple[Path, Loader], name: str) -> None:
    folder, load = kind
    (folder.parent / "x").write_bytes(b"x")
    refuse(changed(folder, lambda c: c["files"].update({name: "0" * 64})), load, "expected files inside")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "/".join("x" * 3000), ".", "", "loop", "pipe", "a\n"])
def test_names_that_are_no_files(kind: tuple[Path, Loader], name: str) -> None:
    folder, load = kind
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    refuse(changed(folder, lambda c: c["files"].update({name: "0" * 64})), load, "a file of at most 512 MB")


def test_links_that_lead_out(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    graph = next(folder.glob("*.onnx"))
    graph.rename(folder.parent / "outside.onnx")
    graph.symlink_to(folder.parent / "outside.onnx")
    refuse(folder, load, "expected files inside")
    graph.unlink()
    graph.symlink_to("/dev/zero")
    refuse(folder, load, "expected files inside")


def test_a_graph_of_huge_size(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    os.truncate(next(folder.glob("*.onnx")), 513 << 20)
    refuse(folder, load, "a file of at most 512 MB")


def test_a_manifest_of_huge_size(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    os.truncate(folder / "bundle.json", 17 << 20)
    refuse(folder, load, r"at most 16 MB in bundle\.json")


def test_more_files_than_a_bundle_has(kind: tuple[Path, Loader]) -> None:
    """Each would be hashed, be it the same one a million times over."""
    folder, load = kind
    graph = next(folder.glob("*.onnx")).name
    many = {f"{'./' * i}{graph}": "0" * 64 for i in range(65)}
    refuse(changed(folder, lambda c: c.update(files=many)), load, "at most 64 files")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    (folder / "bundle.json").chmod(0)
    refuse(folder, load, "check its rights")
    (folder / "bundle.json").chmod(stat.S_IRUSR)


# --- archives


def packed(folder: Path, *extra: tuple[str, bytes]) -> Path:
    target = zip_bundle(folder, folder.parent / "b.zip")
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in extra:
            archive.writestr(name, data)
    return target


def test_a_zip_bomb(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    refuse(packed(folder, ("big", bytes(600 << 20))), load, "at most 512 MiB|times the packed size")


def test_a_list_of_a_hundred_thousand_members(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    target = packed(folder)
    with zipfile.ZipFile(target, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.header_offset, info.compress_size, info.CRC = 0, 0, 0
        archive.filelist += [info] * 100_000  # names in the list alone
        archive._didModify = True
    refuse(target, load, "a table of at most 1,048,576 bytes")


@pytest.mark.parametrize(
    ("at", "new"),
    [(6, struct.pack("<H", 999)), (8, b"\x01\0"), (10, b"\x63\0"), (24, b"\xff" * 4), (28, b"\xff\xff")],
    ids=["version", "encrypted", "method", "size", "name"],
)
def test_lists_that_lie(kind: tuple[Path, Loader], at: int, new: bytes) -> None:
    folder, load = kind
    target = packed(folder)
    raw = bytearray(target.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + at : entry + at + len(new)] = new
    target.write_bytes(raw)
    refuse(target, load, "expected")


def test_one_disk_of_several(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    target = packed(folder)
    raw = target.read_bytes()
    end = raw.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 7)
    target.write_bytes(raw[:end] + locator + raw[end:])
    refuse(target, load, r"a readable \.zip, got: .*multiple disks")


def test_a_name_that_is_no_utf8(kind: tuple[Path, Loader]) -> None:
    folder, load = kind
    target = packed(folder, ("é", b"x"))
    target.write_bytes(target.read_bytes().replace("é".encode(), b"\xff\xfe"))
    refuse(target, load, r"a readable \.zip")


# --- bundle.json


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[" * 100_000, "expected JSON"),
        (b'{"a":' * 100_000, "expected JSON"),
        (b'{"format": NaN}', "the number NaN"),
        (b'{"format": -Infinity}', "the number -Infinity"),
        (b'{"format": ' + b"9" * 10_000 + b"}", "expected JSON"),
        (b'{"format": "\\ud800"}', "expected JSON"),
        (b'{"format": "\xff"}', "expected JSON"),
        (b'{"a": {"b": 1, "b": 2}}', r"duplicate keys \['b'\]"),
        (b"{" + b",".join(b'"%d": 0' % (i // 2) for i in range(200_000)) + b"}", "duplicate keys"),
        (b'{"format": "' + b"x" * 10_000 + b'"}', "expected format"),
        (b'{"format": ' + b"[" * 200 + b"]" * 200 + b"}", "expected format"),
    ],
    ids=lambda value: value[:20].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_text_that_is_no_manifest(kind: tuple[Path, Loader], raw: bytes, message: str) -> None:
    folder, load = kind
    (folder / "bundle.json").write_bytes(raw)
    refuse(folder, load, message)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a JSON object."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    found = []
    for key, value in pairs:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


def put(content: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["text", "1e999", "nan", "../x", "covarep", "x" * 3000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_wrong_types_anywhere(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is loaded in spite of a change must still be sound: its numbers are finite."""
    write, load = KINDS[name]
    folder = tmp_path_factory.getbasetemp() / f"wrong-{name}"
    write(folder)
    content = json.loads((folder / "bundle.json").read_bytes())
    for path in data.draw(st.lists(st.sampled_from(places(content)), min_size=1, max_size=2)):
        value = data.draw(VALUES)
        try:
            put(content, path, value)
        except (KeyError, IndexError, TypeError):
            continue  # the first change has taken the place away
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    try:
        found: Any = load(folder)
    except BundleError as error:
        check_line(error)
        return
    for expert in getattr(found, "experts", {}).values():
        spec = expert.spec
        numbers = [*spec.mean, *spec.scale, *spec.prior, spec.temperature, spec.clip, spec.max_missing]
        assert np.isfinite(numbers).all()
    if name.startswith("network"):
        assert np.isfinite(found.fusion.calibration.scale).all()
        assert np.isfinite(found.fusion.calibration.bias).all()


@pytest.mark.parametrize("value", [1e999, -1e999, 10**400, True, "1", [1], None, -1.0, 0])
@pytest.mark.parametrize("key", ["temperature", "clip", "max_missing"])
def test_numbers_that_are_none(tmp_path: Path, key: str, value: Any) -> None:
    if (key, value) in (("max_missing", 0), ("temperature", True), ("clip", True), ("max_missing", True)):
        return  # 0 is a share, and JSON's true is 1 to Python
    if value == "1":
        return  # float() reads it: exact, if odd
    folder = write_bundle(tmp_path / "b")
    path = folder / "bundle.json"
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    content["experts"]["face"][key] = "@"
    # 1e999 is what JSON allows and Python reads as infinity
    literal = "1e999" if value == 1e999 else "-1e999" if value == -1e999 else json.dumps(value)
    path.write_text(json.dumps(content).replace('"@"', literal), encoding="utf-8")
    refuse(folder, load_bundle, "face|clip|temperature")


# --- graphs


def graph_with(tensor: Any, nodes: list[Any] | None = None) -> bytes:
    nodes = nodes or [helper.make_node("MatMul", ["features", "weights"], ["logits"])]
    graph = helper.make_graph(
        nodes,
        "x",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [] if tensor is None else [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return model.SerializeToString()


def elsewhere(location: str) -> Any:
    """A tensor whose cells lie in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[2, 3], data_location=1)
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def face_expert(graph: bytes) -> Expert:
    pooling = ("mouthSmileLeft.mean", "browDownLeft.mean")
    spec = tabular_spec("face", FACE_COLUMNS, pooling=pooling, model="m")
    return Expert(spec, lambda: graph, threads=1)


@pytest.mark.parametrize("location", ["secret.bin", "/etc/passwd", "../secret.bin", "*/_ORT_MEM_ADDR_/*"])
def test_graphs_with_weights_in_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)  # from where onnxruntime would read
    (tmp_path / "secret.bin").write_bytes(np.zeros(6, np.float32).tobytes())
    constant = helper.make_node("Constant", [], ["weights"], value=elsewhere(location))
    product = helper.make_node("MatMul", ["features", "weights"], ["logits"])
    for graph in (graph_with(elsewhere(location)), graph_with(None, [constant, product])):
        with pytest.raises(BundleError, match="a reference to another file"):
            face_expert(graph).run(np.zeros((1, 2)))
        with pytest.raises(BundleError, match="a reference to another file"):
            small_network(graph=graph).posterior(features())


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (b"", "m"),
        (b"\x80\x04.", "expected an ONNX graph in m"),
        (b"\x3a\xff\xff\xff\xff\x0f", "expected an ONNX file in m"),
        (linear_graph(np.zeros((2, 3)))[:-20], "m"),
        (linear_graph(np.zeros((5, 3))), r"answer of the face expert in m, got: .*dimension"),
        (linear_graph(np.zeros((2, 4))), r"answer of the face expert in m of shape \(1, 3\), got \(1, 4\)"),
    ],
    ids=["empty", "pickle", "length", "cut", "inputs", "classes"],
)
def test_graphs_that_do_not_answer(graph: bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        face_expert(graph).run(np.zeros((1, 2)))
    assert str(caught.value).isprintable()
    assert capfd.readouterr().err == ""
