"""docs/cli.md is what the parsers say, and they say something of everything that can be given."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

import pytest

from conftest import REPOSITORY
from trivalent.cli.main import parser

sys.path.insert(0, str(REPOSITORY / "tools"))
from cli_docs import PAGE, arguments_of, commands_of, page


def parsers(command: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    for inner, told in commands_of(command).values():
        yield inner, told
        yield from parsers(inner)


ALL = list(parsers(parser()))


def test_the_page_is_what_the_parsers_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/cli_docs.py"


def test_every_command_and_argument_has_a_help_text() -> None:
    silent = [command.prog for command, told in ALL if not told]
    for command, _ in ALL:
        silent += [f"{command.prog} {a.dest}" for a in arguments_of(command) if not a.help]
    assert not silent


@pytest.mark.parametrize("command", [command for command, _ in ALL], ids=lambda c: c.prog)
def test_the_page_names_every_option_under_its_command(command: argparse.ArgumentParser) -> None:
    """Told apart from the tool's rendering: by the words of `--help`, section by section."""
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^#+ {command.prog}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section
    shown = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", section[1]))
    assert {f for a in arguments_of(command) for f in a.option_strings} - shown <= {
        "-h",
        "--help",
        "--debug",
    }


def test_defaults_are_told_once() -> None:
    app = commands_of(parser())["app"][0]
    assert "0 takes a free one (default: 8501)" in " ".join(app.format_help().split())
    by_hand = [
        f"{command.prog} {a.dest}"
        for command, _ in ALL
        for a in arguments_of(command)
        if re.search(r"\(default|%\(default|\(\d+\)", a.help or "")
    ]
    assert not by_hand
