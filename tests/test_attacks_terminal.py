"""Names that act on a terminal: what the commands print shows them, and never obeys them.

Black box: every command runs as a process on hostile names, into a pipe and on a terminal.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from attack_log import Attack
from trivalent.core.assets import DATA

pytestmark = pytest.mark.finding(12)
ESCAPES = {
    "colour": "\x1b[31m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http:evil\x1b\\",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "c1": "\x9b31m\x9d0;owned\x9c",
    "bell": "\x07\x08\x7f",
    "bidi": "\u202etxt.exe\u202c\u2066x\u2069",
    "unseen": "\u200b\u200f\u2060\ufeff\u00ad",
    "lines": "one\r\ntrivalent: all is well\u2028\u2029\x0b\x0c\x85",
    "surrogate": os.fsdecode(b"\xff\xfe\x80"),
}
NAME = f"a{''.join(ESCAPES.values())}b"
# C0 and C1 but the line feed, DEL, text direction, what has no width, ends of lines that are none
_ACTS = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]|\x1b\[[12]?[AK]|\x1b\[2K")  # what Rich draws with


@dataclass
class Run:
    """What a command printed, on both streams."""

    status: int
    said: bytes

    @property
    def acting(self) -> list[str]:
        """Characters that act; bytes that are no UTF-8 are among them."""
        return _ACTS.findall(self.said.decode("utf-8", "surrogateescape"))


def run(*arguments: str, home: Path, given: str = "") -> Run:
    """Run a command into pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "trivalent.cli.main", *map(os.fsencode, arguments)],
        input=given.encode(),
        capture_output=True,
        check=False,
        timeout=300,
        env={**os.environ, "TRIVALENT_HOME": str(home)},
    )
    return Run(done.returncode, done.stdout + done.stderr)


def run_on_terminal(*arguments: str, term: str) -> Run:
    """Run a command on a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "trivalent.cli.main", *map(os.fsencode, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
        env={**os.environ, "TERM": term, "COLUMNS": "200"},
    )
    os.close(theirs)
    said, until = b"", time.monotonic() + 300
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.5)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side has left
                break
            if not part:
                break
            said += part
    os.close(ours)
    # a terminal turns each line feed into two characters
    return Run(process.wait(30), said.replace(b"\r\n", b"\n"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files under one hostile name: a text, what is no recording, a transcript and a table."""
    made = tmp_path / "in"
    made.mkdir()
    (made / f"{NAME}.txt").write_text(f"I love{NAME} this.", errors="replace")
    (made / f"{NAME}.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42 and no more")
    (made / f"{NAME}.srt").write_text(f"1\n{NAME}\n", errors="replace")
    (made / f"{NAME}.csv").write_text(f"path,label\n{NAME},{NAME}\n", errors="replace")
    return made


def test_every_command_that_repeats_a_name(folder: Path, tmp_path: Path, attack: Attack) -> None:
    name, home = NAME, tmp_path / "home"
    text, film = str(folder / f"{name}.txt"), str(folder / f"{name}.mp4")
    sample = str(DATA / "samples" / "sample.mp4")
    commands = [
        ("analyze", text, "--modalities", "text"),
        ("analyze", text, film, "--modalities", "text"),
        ("analyze", text, "--modalities", "text", "--json"),
        ("analyze", film),
        ("analyze", film, "--debug"),
        ("analyze", str(folder / f"{name}{name}.wav")),
        ("analyze", sample, "--transcript", str(folder / f"{name}.srt")),
        ("analyze", text, "--html", str(folder / name / "x.html")),
        ("analyze", "--text", f"{name} is lovely", "--modalities", "text"),
        ("analyze", "--text", "x", "--modalities", name),
        ("analyze", "--text", "x", "--thresholds", name),
        ("analyze", "--text", "x", "--model", name),
        ("analyze", "--face-rate", name, "x"),
        (
            "batch",
            str(folder),
            "-o",
            str(tmp_path / "out"),
            "--texts",
            "--modalities",
            "text",
            "--workers",
            "1",
        ),
        ("batch", str(folder), "-o", str(folder / f"{name}.txt")),
        ("batch", str(folder / name), "-o", str(tmp_path / "out")),
        ("batch", str(folder), "-o", str(tmp_path / "out"), "--engine", name),
        ("batch", str(folder), "-o", str(tmp_path / "out"), "--workers", name),
        ("extract", name, text, "-o", "x.npz"),
        ("extract", "face", film, "-o", str(tmp_path / "x.npz")),
        ("extract", "sentence", text, "-o", str(tmp_path / f"{name}.csv")),
        ("data", "info", str(folder / f"{name}.csv")),
        ("data", "info", name),
        ("data", "check", "mosei", "--root", str(folder / name)),
        ("model", "show", name),
        ("model", "list", str(folder)),
        ("model", "export", "default", "-o", str(tmp_path / f"{name}.zip")),
        ("model", "export", "default", "-o", str(folder / name / "x.zip")),
        ("evaluate", name, "--data", name),
        ("train", str(folder / f"{name}.txt"), "-o", str(tmp_path / "t"), "--set", name),
        ("benchmark", name, "-o", str(tmp_path / "b")),
        (name,),
        ("analyze", f"--{name}"),
        ("serve", "--host", name),
        ("app", "--host", name, "--no-browser"),
        ("user", "list", "--home", str(folder / f"{name}.txt")),
    ]
    for command in commands:
        done = run(*command, home=home)
        attack.attempt(f"{command[:2]} {done.acting[:5]}", withstood=not done.acting)


def test_names_of_accounts_and_keys(tmp_path: Path, attack: Attack) -> None:
    name, home = NAME, str(tmp_path / "home")
    password = "correct horse battery\n"
    commands = [
        ("user", "add", name, "--administrator", "--password-stdin", "--home", home),
        ("user", "add", "ada", "--administrator", "--password-stdin", "--home", home),
        ("key", "create", "--user", "ada", "--label", name, "--home", home),
        ("key", "create", "--user", name, "--label", "x", "--home", home),
        ("user", "list", "--home", home),
        ("key", "list", "--home", home),
        ("key", "list", "--user", name, "--home", home),
        ("key", "revoke", name, "--home", home),
        ("user", "password", name, "--password-stdin", "--home", home),
        ("user", "deactivate", name, "--home", home),
        ("user", "delete", name, "--yes", "--home", home),
    ]
    for command in commands:
        done = run(*command, home=Path(home), given=password)
        attack.attempt(f"{command[:2]} {done.acting[:5]}", withstood=not done.acting)


def test_the_card_of_a_model(tmp_path: Path, attack: Attack) -> None:
    """A bundle of a stranger: its name, card and licence are shown as JSON, which still says the same."""
    bundle = tmp_path / "bundle"
    shutil.copytree(DATA / "bundles" / "default", bundle)
    evil = "".join(text for kind, text in ESCAPES.items() if kind != "surrogate")
    told = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    told = {**told, "version": f"1{evil}", "summary": evil}
    (bundle / "bundle.json").write_text(json.dumps(told), encoding="utf-8")
    for command in (("model", "show", str(bundle)), ("model", "list", str(tmp_path))):
        done = run(*command, home=tmp_path)
        attack.attempt(f"{command} {done.acting[:5]}", withstood=not done.acting)


def test_documents_still_say_the_same(tmp_path: Path, attack: Attack) -> None:
    """Escapes in JSON are read back as what they stand for."""
    files = [tmp_path / f"a{text}.txt" for text in ESCAPES.values()]
    for file in files:
        file.write_text("I love this.")
    done = subprocess.run(
        [sys.executable, "-m", "trivalent.cli.main", "analyze", *files, "--json", "--modalities", "text"],
        capture_output=True,
        check=False,
        timeout=300,
    )
    documents = json.loads(done.stdout)["analyses"]
    for kind, file, document in zip(ESCAPES, files, documents, strict=True):
        attack.attempt(kind, withstood=document["source"]["name"] == file.name)
    attack.attempt("the document", withstood=not Run(0, done.stdout).acting)


@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_on_a_terminal(term: str, folder: Path, tmp_path: Path, attack: Attack) -> None:
    """Colours and bars are Rich's own; beside them nothing acts."""
    name = NAME
    commands = [
        ("analyze", str(folder / f"{name}.txt"), str(folder / f"{name}.mp4"), "--modalities", "text"),
        (
            "batch",
            str(folder),
            "-o",
            str(tmp_path / "out"),
            "--texts",
            "--modalities",
            "text",
            "--workers",
            "1",
        ),
        ("analyze", str(folder / f"{name}.mp4"), "--debug"),
        ("model", "show", name),
    ]
    for command in commands:
        done = run_on_terminal(*command, term=term)
        plain = Run(done.status, re.sub(_RICH.pattern.encode(), b"", done.said).replace(b"\r", b""))
        hostile = any(text.encode("utf-8", "surrogateescape") in done.said for text in ESCAPES.values())
        attack.attempt(
            f"{term} {command[:1]} {plain.acting[:5]}", withstood=not plain.acting and not hostile
        )
