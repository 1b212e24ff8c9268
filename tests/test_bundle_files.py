"""Archives of bundles: the same bytes whenever they are packed, and hostile ones refused."""

from __future__ import annotations

import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import write_bundle
from trivalent.bundle import files as bundle_files
from trivalent.bundle.files import FolderFiles, ZipFiles, find_bundle, open_files, read_manifest, zipped
from trivalent.bundle.loading import load_bundle
from trivalent.core import archives
from trivalent.core.errors import BundleError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny")


def archive_of(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename = info.orig_filename = name
            archive.writestr(info, content)
    return path


def test_places(folder: Path, tmp_path: Path) -> None:
    assert find_bundle(folder) == folder
    (tmp_path / "run").mkdir()
    folder.rename(tmp_path / "run" / "bundle")
    assert find_bundle(tmp_path / "run") == tmp_path / "run" / "bundle"
    packed = archive_of(tmp_path / "a.zip", ("bundle.json", b"{}"))
    assert find_bundle(packed) == packed
    assert find_bundle(tmp_path) is None
    assert find_bundle(tmp_path / "absent") is None


def test_packing_is_deterministic(folder: Path, tmp_path: Path) -> None:
    names = [p.name for p in folder.iterdir() if p.suffix == ".onnx"]
    first = zipped(FolderFiles(folder), names)
    for path in folder.iterdir():
        os.utime(path, (0, 0))
        path.chmod(0o600)
    assert zipped(FolderFiles(folder), reversed(names)) == first
    (tmp_path / "tiny.zip").write_bytes(first)
    assert zipped(ZipFiles(tmp_path / "tiny.zip"), names) == first
    with zipfile.ZipFile(tmp_path / "tiny.zip") as archive:
        assert archive.namelist() == ["bundle.json", *sorted(names)]
    assert load_bundle(tmp_path / "tiny.zip").sha256 == load_bundle(folder).sha256


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["bundle.json", "bundle.json"], "every name once .* got bundle.json more than once"),
        (["bundle.json", "../outside.onnx"], "plain relative names .* got '../outside.onnx'"),
        (["bundle.json", "a/../../b"], "plain relative names"),
        (["bundle.json", "/etc/passwd"], "plain relative names"),
        (["bundle.json", "a\\b"], "plain relative names"),
        (["bundle.json", "a\nb"], "plain relative names"),
        ([f"{i}.onnx" for i in range(65)], "at most 64 files"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    packed = archive_of(tmp_path / "b.zip", *((name, b"{}") for name in names))
    for use in (open_files, load_bundle):
        with pytest.raises(BundleError, match=message):
            use(packed)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(bundle_files.ZIP_LIMITS, member_bytes=10 << 20, total_bytes=15 << 20)
    monkeypatch.setattr(bundle_files, "ZIP_LIMITS", limits)
    monkeypatch.setattr(archives, "MAX_RATIO", 2_000)
    honest = tmp_path / "honest.zip"
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", b" " * (11 << 20))
    assert honest.stat().st_size < 20_000
    with pytest.raises(BundleError, match=r"at most 10 MiB in 'bundle.json' of the .zip, got 11"):
        open_files(honest)
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("bundle.json", "a.onnx"):
            archive.writestr(name, b" " * (8 << 20))
    with pytest.raises(BundleError, match="at most 15 MiB unpacked, got 16"):
        open_files(honest)
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", b" " * (9 << 20))
    # The directory claims a hundred bytes: what follows them is not unpacked.
    lying = honest.read_bytes().replace(struct.pack("<I", 9 << 20), struct.pack("<I", 100))
    (tmp_path / "lying.zip").write_bytes(lying)
    with pytest.raises(BundleError, match=r"expected a readable member 'bundle\.json'"):
        open_files(tmp_path / "lying.zip").read("bundle.json")


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    packed = archive_of(tmp_path / "b.zip", ("bundle.json", b'{"format": 1, "format": 2}'))
    with pytest.raises(BundleError, match=r"duplicate keys \['format'\]"):
        read_manifest(open_files(packed))
