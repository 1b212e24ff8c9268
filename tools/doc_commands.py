"""The commands of a page: fenced `console` blocks, whose lines begin with `$`; the others are their output.

What cannot be run carries the reason, in a comment right above its block that no reader sees:
`<!-- not run: REASON -->`, or `<!-- not run (BEGINNING | OTHER): REASON -->` for those that begin so.

Usage: python tools/doc_commands.py README.md > commands.sh     # those that are to be run, for `bash -eux`
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

_FENCE = re.compile(r"((?:^<!-- .*? -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run(?: \((.+?)\))?: (.+?) -->")


@dataclass(frozen=True)
class Command:
    """One line after a `$`, and why it is not run."""

    line: str
    not_run: str = ""

    @property
    def parts(self) -> list[list[str]]:
        """Words of the programs that a shell would start, one after another, without the remark."""
        lexer = shlex.shlex(self.line, posix=True, punctuation_chars=";&")
        lexer.whitespace_split = True
        ends = (";", "&&")
        return [list(words) for end, words in groupby(lexer, ends.__contains__) if not end]


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Comments, language and content of every fenced block."""
    for found in _FENCE.finditer(text):
        yield found[1], found[2], found[3]


def commands(text: str) -> list[Command]:
    """Every command of a page, in its order.

    Raises
    ------
    ValueError
        If a mark fits no command of its block.
    """
    every: list[Command] = []
    for comments, language, content in blocks(text):
        marks = _MARK.findall(comments)
        lines = [line.removeprefix("$ ") for line in content.splitlines() if line.startswith("$ ")]
        lines = lines if language == "console" else []
        used = set()
        for line in lines:
            reason = ""
            for beginnings, why in marks:
                fitting = [b for b in beginnings.split(" | ") if line.startswith(b)]
                used.update((b, why) for b in fitting)
                reason = reason or (why if fitting else "")
            every.append(Command(line, reason))
        stale = [b for beginnings, why in marks for b in beginnings.split(" | ") if (b, why) not in used]
        if stale:
            raise ValueError(f"expected commands that begin so, got none for {stale}; correct the mark")
    return every


def main() -> None:
    """Print what is to be run."""
    for name in sys.argv[1:]:
        for command in commands(Path(name).read_text(encoding="utf-8")):
            if not command.not_run:
                print(command.line)


if __name__ == "__main__":
    main()
