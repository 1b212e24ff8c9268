"""Every command on a page for readers is one that the parsers take, and is run here or by .ci/wheel.

What cannot be run says why in a comment above its block; `tools/doc_commands.py` has the format.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bundles import write_bundle
from conftest import REPOSITORY
from fusion_bundles import save_small
from media_samples import write_media
from trivalent.cli.main import main, parser
from trivalent.lab.datasets.csd import TimedFeatures, write_csd

sys.path.insert(0, str(REPOSITORY / "tools"))
from doc_commands import blocks, commands

# docs/cli.md has no commands but what the parsers print.
PAGES = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"] + [
    f"docs/{page.name}" for page in sorted((REPOSITORY / "docs").glob("*.md")) if page.name != "cli.md"
]
TEXTS = {page: (REPOSITORY / page).read_text(encoding="utf-8") for page in PAGES}
RUN_BY_CI = ("README.md", "README.zh-CN.md")  # .ci/wheel, with the installed package
PASSWORD = "correct horse battery"


@pytest.mark.parametrize("page", PAGES)
def test_the_parsers_take_every_command(page: str) -> None:
    """Also of those that are not run: a renamed option makes the page wrong."""
    parsers = parser()
    for command in commands(TEXTS[page]):
        for program, *arguments in command.parts:
            if program == "trivalent":
                parsers.parse_args(arguments)  # raises SystemExit where it does not take them


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_found_by_their_mark(page: str) -> None:
    """A block that shows a command otherwise would be read by nobody here."""
    programs = ("trivalent", "$", "pip", "python", "curl", "pytest", "ray")
    for _, language, content in blocks(TEXTS[page]):
        if language == "console":
            assert content.startswith("$ ")
        else:
            assert not content.startswith(programs), content


def test_both_languages_show_the_same_commands() -> None:
    english, chinese = ([c.parts for c in commands(TEXTS[page])] for page in RUN_BY_CI)
    assert english == chinese


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand where a reader would: with recordings, a list, and bundles of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _: PASSWORD)
    for name in ("talk.mp4", "interview.mp4"):
        write_media(tmp_path / name)
    (tmp_path / "recordings").mkdir()
    for name in ("praise", "complaint"):
        (tmp_path / "recordings" / f"{name}.txt").write_text("I love how this turned out.\n")
    write_media(tmp_path / "recordings" / "hum.wav", video=None, audio="pcm_s16le", seconds=1.0)
    (tmp_path / "list.csv").write_text("path\nrecordings/praise.txt\n")
    write_bundle(tmp_path / "my-bundle")
    for name in ("mine", "small"):
        save_small(tmp_path / "runs" / name / "bundle")
    second = TimedFeatures(np.array([[0.0, 1.0]]), np.ones((1, 3), np.float32))
    write_csd(tmp_path / "file.csd", "made up", sequences=[("clip", second)])
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p not in RUN_BY_CI and not all(c.not_run for c in commands(TEXTS[p]))],
)
def test_commands_work(page: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(TEXTS[page]):
        if not command.not_run:
            for program, *arguments in command.parts:
                assert program == "trivalent", f"say why this is not run: {command.line}"
                assert main(arguments) == 0, (command.line, capsys.readouterr().err)
