"""Atomic writing: the old file or the new one, never half of each."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core import files
from trivalent.core.errors import TrivalentError
from trivalent.core.files import write_bytes_atomic, write_text_atomic


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert write_bytes_atomic(path, b"one") == path.resolve()
    write_bytes_atomic(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=30, deadline=None)
def test_text_is_written_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write_text_atomic(tmp_path_factory.mktemp("t") / "f.txt", text)
    assert path.read_bytes().decode("utf-8") == text


def test_a_lone_surrogate_becomes_a_replacement_character(tmp_path: Path) -> None:
    path = write_text_atomic(tmp_path / "f", "caf\udce9 \U0001f600")
    assert path.read_text(encoding="utf-8") == "caf\ufffd \U0001f600"


def test_a_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(TrivalentError, match="expected a place to write 'f', got No space left on device"):
        write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes_atomic(tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of renaming the old content is whole, and so is the temporary file."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    seen: list[tuple[bytes, bytes]] = []
    real = Path.replace

    def spy(self: Path, target: Path) -> Path:
        seen.append((target.read_bytes(), self.read_bytes()))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    write_bytes_atomic(path, b"new" * 100_000)
    assert seen == [(b"old", b"new" * 100_000)]


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_bytes_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_devices_are_written_to_directly() -> None:
    write_bytes_atomic(os.devnull, b"x")
    assert not Path(os.devnull).is_file()


def test_permissions_are_the_users_own(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_bytes_atomic(tmp_path / "f", b"x")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("name", ["no/f", "f\x00g", "n" * 300])
def test_impossible_places_are_told_in_one_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(TrivalentError, match="create the folder or choose another path"):
        write_bytes_atomic(tmp_path / name, b"x")


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(TrivalentError, match="expected a place to write"):
        write_bytes_atomic(tmp_path, b"x")
    assert tmp_path.is_dir()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_bytes_atomic("~/f", b"x")
    assert (tmp_path / "f").read_bytes() == b"x"


def test_names_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "same")
    taken = tmp_path / ".trivalent-same.tmp"
    taken.write_bytes(b"another process writes here")
    with pytest.raises(TrivalentError, match="File exists"):
        write_bytes_atomic(tmp_path / "f", b"x")
