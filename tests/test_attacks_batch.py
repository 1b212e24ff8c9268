"""A folder of a stranger, given to `trivalent batch`: nothing in it stops, widens or fools the run.

Black box: every attack starts the command as a process, and reads what it printed and wrote.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from attack_log import Attack, descendants

pytestmark = pytest.mark.finding(10)
HANGS_S = 120.0  # a command that has not ended by then does not end by itself
GOOD = "I love how this turned out."
SECRET = "root:secret:19000:0:99999:7:::"


@dataclass
class Done:
    """How a command ended; status None: it hung and was killed."""

    status: int | None
    out: str
    err: str
    most_processes: int


def batch(source: Path, out: Path, *more: str, hangs_s: float = HANGS_S, user: int | None = None) -> Done:
    command = [sys.executable, "-m", "trivalent.cli.main", "batch", str(source), "-o", str(out)]
    command += ["--texts", "--modalities", "text", "--threads", "1", *more]
    if "--workers" not in more:
        command += ["--workers", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, user=user
    )
    most, ended = [0], threading.Event()

    def count() -> None:
        while not ended.wait(0.1):
            most[0] = max(most[0], len(descendants(process.pid)))

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        told, complained = process.communicate(timeout=hangs_s)
        status = process.returncode
    except subprocess.TimeoutExpired:
        for pid in [process.pid, *descendants(process.pid)]:
            os.kill(pid, 9)
        told, complained = process.communicate()
        status = None
    finally:
        ended.set()
        thread.join()
    return Done(status, told.decode("utf-8", "replace"), complained.decode("utf-8", "replace"), most[0])


def rows(out: Path, table: str = "files") -> dict[str, dict]:
    path = out / f"{table}.jsonl"
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["file" if table == "files" else "source"]: row for row in lines}


def everything(out: Path) -> bytes:
    """All that the run has written."""
    return b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())


def failed(out: Path, name: str) -> bool:
    row = rows(out).get(name, {})
    return row.get("status") == "failed" and bool(row.get("reason"))


def done(out: Path, name: str) -> bool:
    return rows(out).get(name, {}).get("status") == "done"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one honest text."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text(GOOD)
    return folder


def test_files_that_have_no_end(source: Path, tmp_path: Path, attack: Attack) -> None:
    """Pipes, sockets and devices are failed rows at once, and the rest goes on."""
    os.mkfifo(source / "pipe.txt")
    os.mkfifo(source / "pipe.mp4")
    (source / "zero.txt").symlink_to("/dev/zero")
    (source / "tty.mp4").symlink_to("/dev/tty")
    (source / "random.mp4").symlink_to("/dev/urandom")
    (source / "self.txt").symlink_to("self.txt")
    (source / "there.txt").symlink_to("back.txt")
    (source / "back.txt").symlink_to("there.txt")
    (source / "nowhere.txt").symlink_to("absent.txt")
    (source / "folder.txt").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket.mp4"))
        result = batch(source, tmp_path / "out", "--time-limit", "60")
    names = [
        "pipe.txt",
        "pipe.mp4",
        "zero.txt",
        "tty.mp4",
        "random.mp4",
        "self.txt",
        "there.txt",
        "back.txt",
    ]
    for name in [*names, "nowhere.txt", "socket.mp4"]:
        attack.attempt(name, withstood=failed(tmp_path / "out", name))
    attack.attempt("the run ends", withstood=result.status == 1)
    attack.attempt("the honest file", withstood=done(tmp_path / "out", "good.txt"))
    again = batch(source, tmp_path / "out", "--time-limit", "60")
    attack.attempt("again", withstood=again.status == 1 and "0 files to analyse" in again.err)


def test_a_file_of_terabytes_that_takes_no_room(source: Path, tmp_path: Path, attack: Attack) -> None:
    """It is hashed for no longer than its time limit, and not again in the next run."""
    huge = source / "huge.wav"
    with huge.open("wb") as file:
        try:
            file.truncate(2 * 2**40)
        except OSError:
            pytest.skip("the file system takes no sparse file of 2 TB")
    result = batch(source, tmp_path / "out", "--time-limit", "3", hangs_s=120)
    attack.attempt("ends", withstood=result.status == 1)
    attack.attempt("is told", withstood=failed(tmp_path / "out", "huge.wav"))
    attack.attempt("the honest file", withstood=done(tmp_path / "out", "good.txt"))
    again = batch(source, tmp_path / "out", "--time-limit", "3", hangs_s=120)
    attack.attempt("again", withstood="0 files to analyse" in again.err)
    os.utime(huge)  # touched: only its content could tell that it is the same
    again = batch(source, tmp_path / "out", "--time-limit", "3", hangs_s=120)
    attack.attempt("touched", withstood=again.status == 1)


def test_links_that_lead_out(source: Path, tmp_path: Path, attack: Attack) -> None:
    """What lies outside of the folder reaches neither the tables nor the documents."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "shadow").write_text(SECRET)
    (outside / "secret.txt").write_text(SECRET)
    (source / "shadow.txt").symlink_to(outside / "shadow")
    (source / "relative.txt").symlink_to("../outside/secret.txt")
    (source / "folder").symlink_to(outside)
    (source / "chain.txt").symlink_to("chained.txt")
    (source / "chained.txt").symlink_to(outside / "shadow")
    (source / "round").symlink_to(source)
    (source / "inside.txt").symlink_to("good.txt")
    (source / "environment.txt").symlink_to("/proc/self/environ")
    result = batch(source, tmp_path / "out")
    for name in ("shadow.txt", "relative.txt", "chain.txt", "chained.txt", "environment.txt"):
        attack.attempt(name, withstood=failed(tmp_path / "out", name))
    attack.attempt("no words", withstood=SECRET.encode() not in everything(tmp_path / "out"))
    attack.attempt("linked folder", withstood="folder/secret.txt" not in rows(tmp_path / "out"))
    attack.attempt("counted", withstood="2 linked folders" in result.err)
    attack.attempt("a link inside", withstood=done(tmp_path / "out", "inside.txt"))
    attack.attempt("status", withstood=result.status == 1)


def test_a_link_that_turns_after_it_was_analysed(source: Path, tmp_path: Path, attack: Attack) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    link = source / "link.txt"
    link.symlink_to("good.txt")
    batch(source, tmp_path / "out")
    attack.attempt("inside", withstood=done(tmp_path / "out", "link.txt"))
    link.unlink()
    link.symlink_to(tmp_path / "secret.txt")
    batch(source, tmp_path / "out")
    attack.attempt("outside", withstood=failed(tmp_path / "out", "link.txt"))
    attack.attempt("no words", withstood=SECRET.encode() not in everything(tmp_path / "out"))


def test_a_folder_that_cannot_be_read_is_told(source: Path, tmp_path: Path, attack: Attack) -> None:
    """By name and by the exit status; its neighbours are analysed."""
    if os.geteuid() == 0:
        # permissions do not stop root, but no path is longer than 4,096 bytes
        here = os.open(source, os.O_RDONLY)
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=here)
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        named = "d" * 200
    else:
        (source / "locked").mkdir()
        (source / "locked").chmod(0)
        named = "locked"
    result = batch(source, tmp_path / "out")
    if os.geteuid() != 0:
        (source / "locked").chmod(0o700)
    attack.attempt("status", withstood=result.status == 1)
    attack.attempt("named", withstood=named in result.err.replace("\n", ""))
    attack.attempt("the honest file", withstood=done(tmp_path / "out", "good.txt"))


def test_folders_below_folders(source: Path, tmp_path: Path, attack: Attack) -> None:
    """Deeper than Python's stack."""
    here = os.open(source, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    handle = os.open("deep.txt", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here)
    os.write(handle, GOOD.encode())
    os.close(handle)
    os.close(here)
    try:
        result = batch(source, tmp_path / "out")
    finally:
        # too deep for shutil.rmtree, with which pytest clears its folders
        subprocess.run(["rm", "-rf", source / "d"], check=True)
    attack.attempt("status", withstood=result.status == 0)
    attack.attempt("the deepest", withstood=done(tmp_path / "out", "d/" * 1200 + "deep.txt"))


def test_a_corrected_transcript(tmp_path: Path, attack: Attack) -> None:
    """Other words are another outcome, whether they are corrected, added or taken away."""
    from trivalent.core.assets import DATA

    (tmp_path / "talk.mp4").write_bytes((DATA / "samples" / "sample.mp4").read_bytes())
    words, table, out = tmp_path / "talk.srt", tmp_path / "list.csv", tmp_path / "out"
    words.write_text("1\n00:00:00,500 --> 00:00:01,500\nDreadful.\n")
    table.write_text("path,transcript\ntalk.mp4,talk.srt\n")
    batch(table, out)
    attack.attempt("first", withstood=rows(out, "utterances")["talk.mp4"]["text"] == "Dreadful.")
    again = batch(table, out)
    attack.attempt("the same is kept", withstood="0 files to analyse" in again.err)
    words.write_text("1\n00:00:00,500 --> 00:00:01,500\nWonderful.\n")
    batch(table, out)
    attack.attempt("corrected", withstood=rows(out, "utterances")["talk.mp4"]["text"] == "Wonderful.")
    words.unlink()
    batch(table, out)
    attack.attempt("taken away", withstood=failed(out, "talk.mp4"))
    os.mkfifo(words)
    result = batch(table, out, "--retry-failed", hangs_s=120)
    attack.attempt("a pipe", withstood=result.status == 1 and failed(out, "talk.mp4"))
    words.unlink()
    words.symlink_to("/dev/zero")
    result = batch(table, out, "--retry-failed", hangs_s=120)
    attack.attempt("a device", withstood=result.status == 1 and failed(out, "talk.mp4"))
    words.unlink()
    words.write_text("1\n00:00:00,500 --> 00:00:01,500\nMarvellous.\n")
    batch(table, out)
    attack.attempt("back", withstood=rows(out, "utterances")["talk.mp4"]["text"] == "Marvellous.")


def test_rows_of_a_list(source: Path, tmp_path: Path, attack: Attack) -> None:
    """Each row is judged alone; paths in a list are the user's own words and may lead anywhere."""
    (tmp_path / "elsewhere.txt").write_text(GOOD)
    os.mkfifo(source / "pipe.txt")
    (source / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    bad = [
        "nul\0.txt",
        "x" * 300 + ".txt",
        "y/" * 3000 + "z.txt",
        "pipe.txt",
        ".",
        "..",
        "absent.txt",
        "/dev/zero",
    ]
    good = ["good.txt", "link.txt", "../elsewhere.txt", str(tmp_path / "elsewhere.txt")]
    table = source / "list.csv"
    table.write_text("path\n" + "".join(f"{name}\n" for name in [*bad, *good]))
    result = batch(table, tmp_path / "out", "--time-limit", "60")
    attack.attempt("ends", withstood=result.status == 1)
    for name in bad:
        attack.attempt(repr(name)[:20], withstood=failed(tmp_path / "out", name))
    for name in good:
        attack.attempt(name, withstood=done(tmp_path / "out", name))
    again = batch(table, tmp_path / "out", "--time-limit", "60")
    attack.attempt("again", withstood="0 files to analyse" in again.err)


def test_no_more_workers_than_files(source: Path, tmp_path: Path, attack: Attack) -> None:
    """A worker is one process."""
    for i in range(2):
        (source / f"{i}.txt").write_text(GOOD)
    result = batch(source, tmp_path / "out", "--workers", "20")
    attack.attempt("20 workers", withstood=result.status == 0 and result.most_processes <= 3 * 2 + 3)


IMPOSSIBLE = (
    ("--workers", "0"),
    ("--workers", "-3"),
    ("--workers", "1000000000"),
    ("--time-limit", "nan"),
    ("--time-limit", "-1"),
    ("--time-limit", "0"),
    ("--time-limit", "1e999"),
    ("--memory-limit", "nan"),
    ("--memory-limit", "1e300"),
    ("--memory-limit", "0"),
    ("--threads", "-1"),
    ("--threads", "0"),
)


def test_numbers_that_cannot_be_meant(source: Path, tmp_path: Path, attack: Attack) -> None:
    """Refused on one line before anything is analysed."""
    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda options: batch(source, tmp_path / "out", *options), IMPOSSIBLE)
        for options, result in zip(IMPOSSIBLE, ended, strict=True):
            refused = result.status == 2 and result.err.count("\n") == 1
            attack.attempt(" ".join(options), withstood=refused)
    attack.attempt("nothing was begun", withstood=not rows(tmp_path / "out"))


def test_results_inside_of_the_source(source: Path, tmp_path: Path, attack: Attack) -> None:
    """They are not read, nor counted, as sources."""
    out = source / "results"
    for _ in range(2):
        result = batch(source, out)
        attack.attempt("only the source", withstood=set(rows(out)) == {"good.txt"})
        attack.attempt("none left out", withstood="left out" not in result.err)
    (out / "report.txt").write_text(GOOD)
    batch(source, out)
    attack.attempt("a text among the results", withstood=set(rows(out)) == {"good.txt"})


def test_files_that_change_while_they_are_read(source: Path, tmp_path: Path, attack: Attack) -> None:
    """One grows all the time, one comes and goes: the run ends, and a later run looks again."""
    growing, going, stop = source / "growing.txt", source / "going.txt", threading.Event()
    growing.write_text(GOOD)

    def change() -> None:
        while not stop.is_set():
            with growing.open("a") as file:
                file.write(f" {GOOD}")
            going.unlink(missing_ok=True) if going.exists() else going.write_text(GOOD)
            time.sleep(0.02)

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    result = batch(source, tmp_path / "out", "--time-limit", "60")
    stop.set()
    thread.join()
    attack.attempt("ends", withstood=result.status in (0, 1))
    attack.attempt("the honest file", withstood=done(tmp_path / "out", "good.txt"))
    going.unlink(missing_ok=True)
    growing.write_text("Dreadful.")
    batch(source, tmp_path / "out")
    attack.attempt(
        "seen anew", withstood=rows(tmp_path / "out", "utterances")["growing.txt"]["text"] == "Dreadful."
    )


def test_outcomes_that_are_damaged(source: Path, tmp_path: Path, attack: Attack) -> None:
    """A document of an earlier run that lacks something is made again."""
    out = tmp_path / "out"
    batch(source, out)
    (document,) = (out / "work").rglob("*.json")
    whole = json.loads(document.read_text())
    for key in ("digest", "status", "analysis"):
        document.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        result = batch(source, out)
        attack.attempt(key, withstood=result.status == 0 and done(out, "good.txt"))
    for text in ("[]", "{"):
        document.write_text(text)
        result = batch(source, out)
        attack.attempt(repr(text), withstood=result.status == 0 and done(out, "good.txt"))
