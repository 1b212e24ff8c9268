"""`trivalent evaluate`: how good a fusion bundle is on a data set. Needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say, say_json


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="judge a fusion bundle on a data set",
        description=__doc__,
        epilog="Data lie under --root DIR, else under $TRIVALENT_DATA.",
    )
    command.add_argument(
        "bundle", metavar="BUNDLE", help="folder that `trivalent train` wrote, or a .zip of it"
    )
    command.add_argument("--data", required=True, metavar="NAME", help="see `trivalent data list`")
    command.add_argument("--protocol", metavar="P", help="default: the bundle's own, else the first")
    command.add_argument("--split", default="test", metavar="S", help="train, val or test")
    command.add_argument(
        "--modalities", metavar="M,M", help="only these of the bundle; the others count as absent"
    )
    command.add_argument(
        "--rounds", type=int, default=1000, metavar="N", help="rounds of the bootstrap; 0: no intervals"
    )
    command.add_argument("--root", type=Path, metavar="DIR", help="folder of the data sets")
    command.add_argument("--json", action="store_true", help="one JSON object")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    from trivalent.lab.datasets.root import data_root
    from trivalent.lab.measure.evaluate import evaluate, render_text

    given = arguments.modalities
    own_file = arguments.data.lower().endswith((".pkl", ".csv"))  # given by its path: needs no root
    content = evaluate(
        arguments.bundle,
        data=arguments.data,
        root=Path() if own_file else data_root(arguments.root),
        protocol=arguments.protocol,
        split=arguments.split,
        modalities=None if given is None else [m.strip() for m in given.split(",") if m.strip()],
        rounds=arguments.rounds,
    )
    if arguments.json:
        say_json(content, allow_nan=False)
    else:
        say(render_text(content))
    return 0
