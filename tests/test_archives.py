"""The guard of every .zip of a stranger: what it may hold, what its members may be, and what it claims."""

from __future__ import annotations

import random
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trivalent
from trivalent.core.archives import Archive, ArchiveLimits
from trivalent.core.errors import ArchiveError, DataError
from trivalent.lab.datasets.entry import OfficialFile
from trivalent.lab.datasets.text_files import SST_ARCHIVE, read_sst5
from trivalent.lab.datasets.verify import verify_file

LIMITS = ArchiveLimits(members=4, table_bytes=1000, member_bytes=4 << 20, total_bytes=6 << 20)
NOISE = random.Random(0).randbytes(5 << 20)


def archive_of(
    path: Path, fill: Callable[[zipfile.ZipFile], Any], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        fill(archive)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def encrypted(path: Path) -> Path:
    """Set the flag in both headers of the only member."""
    data = bytearray(path.read_bytes())
    for at in (6, data.rindex(b"PK\x01\x02") + 8):
        data[at] |= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        (lambda z: [z.writestr(f"{i}", b"x") for i in range(5)], "members"),
        (lambda z: [z.writestr(f"{i}" * 240, b"x") for i in range(4)], "table"),
        (lambda z: z.writestr("large", NOISE), "member"),
        (lambda z: [z.writestr(f"{i}", NOISE[: 3 << 20]) for i in range(3)], "large"),
        (lambda z: z.writestr("zeros", bytes(1 << 20)), "ratio"),
        (lambda z: z.writestr("../up", b"x"), "names"),
        (lambda z: z.writestr("/absolute", b"x"), "names"),
        (lambda z: z.writestr("a\\b", b"x"), "names"),
        (lambda z: z.writestr("a\nb", b"x"), "names"),
        (lambda z: [z.writestr("a", b"x"), z.writestr("A", b"y")], "twice"),
        (lambda z: z.writestr(link("link"), b"/etc/passwd"), "links"),
    ],
)
def test_what_is_refused(tmp_path: Path, fill: Callable[[zipfile.ZipFile], Any], code: str) -> None:
    path = archive_of(tmp_path / "a.zip", fill)
    with pytest.raises(ArchiveError) as caught, Archive(path, LIMITS) as archive:
        archive.by_name()
    assert caught.value.message.code == f"archive.{code}"


def test_what_is_kept(tmp_path: Path) -> None:
    def fill(z: zipfile.ZipFile) -> None:
        z.mkdir("a")
        z.writestr("a/one", NOISE[: 3 << 20])
        z.writestr("a/.hidden", b"x")

    path = archive_of(tmp_path / "a.zip", fill)
    with Archive(path, LIMITS, hidden=lambda info: ".hidden" in info.filename) as archive:
        members = archive.by_name()
        assert list(members) == ["a/one"]
        assert archive.read(members["a/one"]) == NOISE[: 3 << 20]
        archive.copy(members["a/one"], tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == NOISE[: 3 << 20]


@pytest.mark.parametrize("reads", ["check", "read", "by_name"])
def test_the_encrypted_are_refused_by_whatever_reads(tmp_path: Path, reads: str) -> None:
    path = encrypted(archive_of(tmp_path / "a.zip", lambda z: z.writestr("a", b"words")))
    with Archive(path, LIMITS) as archive, pytest.raises(ArchiveError, match="without a password"):
        archive.by_name() if reads == "by_name" else getattr(archive, reads)(archive.members[0])


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_member_leaves_nothing_behind(tmp_path: Path, method: int) -> None:
    path = archive_of(tmp_path / "a.zip", lambda z: z.writestr("a", NOISE[:5000]), method)
    data = bytearray(path.read_bytes())
    data[60:100] = bytes(40)
    path.write_bytes(data)
    with Archive(path, LIMITS) as archive, pytest.raises(ArchiveError, match="a readable member 'a'"):
        archive.copy(archive.members[0], tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_size_that_lies_is_held_to(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", lambda z: z.writestr("a", b" " * (2 << 20)))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 2 << 20), struct.pack("<I", 100)))
    with Archive(path, LIMITS) as archive, pytest.raises(ArchiveError, match=r"readable member|got more"):
        archive.read(archive.members[0])


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 10_000), new=st.binary(min_size=1, max_size=8))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int, new: bytes
) -> None:
    path = archive_of(tmp_path_factory.mktemp("any") / "a.zip", lambda z: z.writestr("a", data))
    raw = bytearray(path.read_bytes())
    at %= len(raw)
    raw[at : at + len(new)] = new
    path.write_bytes(raw)
    with suppress(ArchiveError), Archive(path, LIMITS) as archive:
        for info in archive.by_name().values():
            archive.read(info)


def test_archives_of_data_sets_are_guarded(tmp_path: Path) -> None:
    (tmp_path / "sst5").mkdir()
    path = archive_of(
        tmp_path / "sst5" / SST_ARCHIVE, lambda z: z.writestr("trees/dev.txt", bytes(9 << 20))
    )
    with pytest.raises(DataError, match=r"expected trees/dev.txt .*times the packed size"):
        read_sst5(tmp_path, "dev")
    with pytest.raises(DataError, match=r"damaged \(expected at most 200 times the packed size"):
        verify_file(path, OfficialFile(SST_ARCHIVE))


def test_nobody_else_opens_a_zip() -> None:
    source = Path(trivalent.__file__).parent
    opens = {str(f.relative_to(source)) for f in source.rglob("*.py") if "ZipFile(" in f.read_text("utf-8")}
    writers = {"bundle/files.py", "store/export.py"}
    checked = {"features/face/graphs.py", "lab/networks/encoders.py"}  # by sha256
    assert opens - writers - checked == {"core/archives.py"}
