"""`trivalent compare`: a table of runs of `trivalent train`, with intervals and paired tests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.core.files import write_text_atomic
from trivalent.core.messages import chosen_language


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help="lay runs of fusion recipes out as a table",
        description=__doc__,
        epilog="The others are tested against the first run, where data, samples and seeds are equal.",
    )
    command.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folder that `trivalent train` wrote"
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="F", help="write to a .md, .csv or .tex instead of printing"
    )
    command.add_argument(
        "--part",
        choices=("validation", "test"),
        default="validation",
        help="samples that were judged; figures of test must not be used for choosing",
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Compare and print, or write."""
    from trivalent.lab.measure.comparison import compare
    from trivalent.lab.measure.comparison_files import markdown, render

    comparison = compare(arguments.runs, part=arguments.part)
    language = chosen_language()
    if arguments.output is None:
        say(markdown(comparison, language).rstrip("\n"))
    else:
        say(write_text_atomic(arguments.output, render(comparison, arguments.output, language)))
    return 0
