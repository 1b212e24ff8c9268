"""A full disk, one that cannot be written, an output that is gone: one line, nothing half written."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"{shlex.quote(sys.executable)} -m trivalent.cli.main"
TEXT = "I love how this turned out. The end was dreadful."


def can_mount() -> bool:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small disk")


def on_disk(folder: Path, script: str, *, options: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a small disk of its own at `folder`, which nobody else sees."""
    folder.mkdir(exist_ok=True)
    mounted = (
        f"mount -t tmpfs -o {options} none {shlex.quote(str(folder))} && cd {shlex.quote(str(folder))}"
    )
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mounted}\n{script}"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


FILL = "cat /dev/zero > filler 2>/dev/null"


@needs_mount
@pytest.mark.parametrize("option", ["--html r.html", "--csv r.csv"])
def test_reports_on_a_full_disk(tmp_path, option):
    ran = on_disk(
        tmp_path / "disk",
        f"{FILL}; {PROGRAM} analyze --text {shlex.quote(TEXT)} {option} > /dev/null; echo $? ; ls -A",
        options="size=64k",
    )
    assert ran.stdout.split() == ["1", "filler"]
    assert "No space left on device" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@needs_mount
@pytest.mark.parametrize("option", ["--html r.html", "--csv r.csv"])
def test_reports_on_a_disk_that_cannot_be_written(tmp_path, option):
    ran = on_disk(
        tmp_path / "disk",
        f"{PROGRAM} analyze --text {shlex.quote(TEXT)} {option} > /dev/null; echo $?; ls -A",
        options="ro",
    )
    assert ran.stdout.split() == ["1"]
    assert "Read-only file system" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_standard_output_that_is_full():
    command = f"{PROGRAM} analyze --text {shlex.quote(TEXT)} --json > /dev/full"
    ran = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "No space left" in ran.stderr


@needs_mount
def test_a_batch_goes_on_when_there_is_room_again(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(12):
        (source / f"{i:02}.txt").write_text(f"Take {i} was good. " * 60)
    options = "-o out --modalities text --texts --workers 1 --threads 1"
    batch = f"{PROGRAM} batch {shlex.quote(str(source))} {options}"
    count = "find out/work -name '*.json' | wc -l"
    ran = on_disk(
        tmp_path / "disk",
        f"head -c 3800k /dev/zero > filler; {batch}; echo $?; find . -name '*.tmp' | wc -l; {count}; "
        f"rm filler; {batch}; echo $?; {count}",
        options="size=4M",
    )
    lines = ran.stdout.split("\n")
    numbers = [line for line in lines if line.strip().isdigit()]
    first, leftovers, finished, second, total = map(int, numbers)
    assert (first, leftovers, second, total) == (1, 0, 0, 12), ran
    assert 0 < finished < 12
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


@needs_mount
def test_a_history_on_a_full_disk(tmp_path):
    pytest.importorskip("sqlalchemy")
    script = tmp_path / "add.py"
    script.write_text(
        "from pathlib import Path; from trivalent import Analyzer\n"
        "from trivalent.core.errors import StoreError\n"
        "from trivalent.core.settings import Settings; from trivalent.store import Query, open_store\n"
        "store = open_store(Settings(home=Path('home'))); user = store.accounts.local_user()\n"
        "history = store.history(user)\n"
        f"analysis = Analyzer(modalities=['text']).analyze_text({TEXT!r} * 300)\n"
        "added = 0\n"
        "try:\n"
        "    while True: history.add(analysis); added += 1\n"
        "except StoreError as error: print(type(error).__name__)\n"
        "store.close(); store = open_store(Settings(home=Path('home')))\n"
        "print(store.history(user).search(Query(limit=1)).total == added)\n"
    )
    ran = on_disk(
        tmp_path / "disk", f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}", options="size=6M"
    )
    assert ran.stdout.split() == ["StorageFullError", "True"], ran.stderr
