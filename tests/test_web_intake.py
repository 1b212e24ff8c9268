"""What a batch takes out of uploads and archives, and what it refuses and why."""

from __future__ import annotations

import random
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.work import batch_files as intake
from trivalent.work.batch_files import Reason, Refused, Taken, examine, unpack

LARGEST = 1_000_000


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    def packed(fill: Callable[[zipfile.ZipFile], Any]) -> Path:
        path = tmp_path / "many.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            fill(opened)
        return path

    return packed


def outcomes(path: Path) -> list[Taken | Refused]:
    folder = path.with_suffix("")
    folder.mkdir()
    return list(unpack("many.zip", path, folder, largest=LARGEST))


def test_members_are_taken_under_their_last_name(archive: Callable[..., Path]) -> None:
    def fill(z: zipfile.ZipFile) -> None:
        z.mkdir("talks")
        z.writestr("talks/monday.txt", "Good.")
        z.writestr("../../etc/passwd.txt", "Bad.")
        z.writestr("C:\\temp\\drive.wav", b"RIFF")
        z.writestr("__MACOSX/talks/._monday.txt", b"\0")
        z.writestr("talks/.DS_Store", b"\0")

    path = archive(fill)
    found = outcomes(path)
    assert [f.name for f in found] == ["monday.txt", "passwd.txt", "drive.wav"]
    for taken in found:
        assert isinstance(taken, Taken)
        assert taken.path.parent == path.with_suffix(""), "under a name of ours, in our folder"
    assert {p.name for p in path.parent.iterdir()} == {"many.zip", "many"}


def test_bad_members_are_skipped_and_told(archive: Callable[..., Path]) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    def fill(z: zipfile.ZipFile) -> None:
        z.writestr("good.txt", "Good.")
        z.writestr("inner.zip", b"PK\x05\x06" + bytes(18))
        z.writestr("really.mp4", b"PK\x05\x06" + bytes(18))
        z.writestr("tool.exe", b"MZ")
        z.writestr("nothing.wav", b"")
        z.writestr(link, "/etc/passwd")
        z.writestr("huge.wav", random.Random(0).randbytes(LARGEST + 1))

    path = archive(fill)
    found = {f.name: getattr(f, "reason", None) for f in outcomes(path)}
    assert found == {
        "good.txt": None,
        "inner.zip": Reason.NESTED,
        "really.mp4": Reason.NESTED,
        "tool.exe": Reason.UNSUPPORTED,
        "nothing.wav": Reason.EMPTY,
        "link.txt": Reason.LINK,
        "huge.wav": Reason.LARGE,
    }


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda z: z.writestr("zeros.wav", bytes(900_000)), Reason.BOMB),
        (lambda z: [z.writestr(f"{i}.txt", "x") for i in range(intake.MAX_FILES + 1)], Reason.MANY),
        (lambda z: [z.writestr(f"{i}.wav", bytes(900_000)) for i in range(23)], Reason.TOTAL),
        (lambda z: None, Reason.EMPTY),
    ],
    ids=["bomb", "many", "total", "empty"],
)
def test_a_whole_archive_is_refused(archive: Callable[..., Path], fill: Any, reason: Reason) -> None:
    assert outcomes(archive(fill)) == [Refused("many.zip", reason)]


def test_encrypted_damaged_and_other_files(archive: Callable[..., Path], tmp_path: Path) -> None:
    path = archive(lambda z: z.writestr("a.txt", "some words of no importance"))
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    for at in (6, directory + 8):  # the flags, in both headers
        data[at] |= 1
    path.write_bytes(data)
    assert outcomes(path) == [Refused("a.txt", Reason.ENCRYPTED)]

    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as z:
        z.writestr("a.txt", "some words of no importance")
    other.write_bytes(other.read_bytes().replace(b"words", b"wordz"))
    assert outcomes(other) == [Refused("a.txt", Reason.DAMAGED)]

    third = tmp_path / "third.zip"
    third.write_bytes(b"no archive")
    assert outcomes(third) == [Refused("many.zip", Reason.NO_ZIP)]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_names_of_programs_that_do_not_say_their_encoding(
    archive: Callable[..., Path], encoding: str
) -> None:
    raw = "访谈一.txt".encode(encoding)
    path = archive(lambda z: z.writestr("x" * len(raw) + "", "Good."))
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    assert [f.name for f in outcomes(path)] == ["访谈一.txt"]


def test_single_files(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(b"words")
    assert examine("a/b\\talk\x1b.TXT", file) == Taken("talk.TXT", file)
    assert examine("notes.docx", file) == Refused("notes.docx", Reason.UNSUPPORTED)
    file.write_bytes(b"")
    assert examine("talk.mp4", file) == Refused("talk.mp4", Reason.EMPTY)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2_000), value=st.integers(0, 255), extra=st.binary(max_size=40))
def test_any_archive_is_taken_or_refused_inside_its_folder(at: int, value: int, extra: bytes) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "many.zip"
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("a/one.txt", b"One. " + extra)
            z.writestr("two.wav", b"RIFF")
        data = bytearray(path.read_bytes())
        data[at % len(data)] = value
        path.write_bytes(data)
        for found in outcomes(path):
            if isinstance(found, Taken):
                assert found.path.is_relative_to(path.with_suffix(""))
        assert {p.name for p in Path(scratch).iterdir()} == {"many.zip", "many"}
