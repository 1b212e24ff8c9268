"""Temporary folders: private, in nobody's way, and gone when their process is, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trivalent.core.errors import TrivalentError
from trivalent.core.private_folders import PrivateFolder, sweep

HOLDER = (
    "import sys, time; from pathlib import Path; from trivalent.core.private_folders import PrivateFolder\n"
    "folder = PrivateFolder(Path(sys.argv[1])); (folder.path / 'words.txt').write_text('secret')\n"
    "print(folder.path, flush=True); time.sleep(60)"
)


def test_a_folder_is_private_and_goes_with_its_block(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with PrivateFolder(tmp_path / "t") as folder:
            assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)
            (folder / "inner").mkdir()
            (folder / "inner" / "a").write_text("a")
            assert sweep(tmp_path / "t") == 0
            assert (folder / "inner" / "a").read_text() == "a"
    finally:
        os.umask(before)
    assert list((tmp_path / "t").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert sweep(tmp_path) == 0
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert (left / "words.txt").is_file()
    with PrivateFolder(tmp_path) as mine:
        assert sweep(tmp_path) == 1
        assert not left.exists()
        assert {p.name for p in tmp_path.iterdir()} == {mine.name, f"{mine.name}.lock"}


def test_what_has_no_lock_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "parent" / "old").mkdir(parents=True)
    (tmp_path / "parent" / "old" / "a").write_text("a")
    (tmp_path / "parent" / "file.txt").write_text("b")
    (tmp_path / "outside").write_text("c")
    (tmp_path / "parent" / "link").symlink_to(tmp_path / "outside")
    assert sweep(tmp_path / "parent") == 3
    assert list((tmp_path / "parent").iterdir()) == []
    assert (tmp_path / "outside").read_text() == "c"
    assert sweep(tmp_path / "absent") == 0


def test_sweeps_beside_folders_that_come_and_go(tmp_path: Path) -> None:
    ended = threading.Event()
    lost: list[Path] = []

    def come_and_go() -> None:
        for _ in range(150):
            with PrivateFolder(tmp_path) as folder:
                try:
                    (folder / "a").write_text("a")
                    (folder / "a").read_text()
                except OSError:
                    lost.append(folder)

    def keep_sweeping() -> None:
        while not ended.is_set():
            sweep(tmp_path)

    sweeper = threading.Thread(target=keep_sweeping)
    workers = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in (sweeper, *workers):
        thread.start()
    for worker in workers:
        worker.join()
    ended.set()
    sweeper.join()
    assert lost == []
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_closing_twice_deletes_nothing_of_others(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    folder.close()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrivalentError, match="temporary files"):
        PrivateFolder(tmp_path / "file")
