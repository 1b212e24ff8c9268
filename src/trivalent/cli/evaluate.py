"""`trivalent evaluate`: how good a bundle is on a data set or on your own recordings. Needs no torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say, say_json
from trivalent.core.errors import UsageError


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="judge a bundle on a data set or on your own recordings",
        description=__doc__,
        epilog="Data lie under --root DIR, else under $TRIVALENT_DATA.",
    )
    command.add_argument(
        "bundle", metavar="BUNDLE", help="installed bundle, folder that `trivalent train` wrote, or a .zip"
    )
    command.add_argument(
        "--data",
        required=True,
        metavar="NAME|F.csv",
        help="see `trivalent data list`; or your own table, the only one for a bundle of experts",
    )
    command.add_argument("--protocol", metavar="P", help="default: the bundle's own, else the first")
    command.add_argument("--split", default="test", metavar="S", help="train, val or test")
    command.add_argument(
        "--modalities", metavar="M,M", help="only these of the bundle; the others count as absent"
    )
    command.add_argument(
        "--rounds", type=int, default=1000, metavar="N", help="rounds of the bootstrap; 0: no intervals"
    )
    command.add_argument(
        "--predictions", type=Path, metavar="F", help="also write a CSV with a row for each sample"
    )
    command.add_argument(
        "--cut",
        choices=("whole", "utterances"),
        default="whole",
        help="what a sample of your own table is: a recording or an utterance",
    )
    command.add_argument(
        "--label-map", metavar="L=CLASS,...", help="what the labels of your own table mean"
    )
    command.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that extract features of a table"
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
        cut=arguments.cut,
        label_map=_label_map(arguments.label_map),
        workers=arguments.workers,
        predictions=arguments.predictions,
    )
    if arguments.json:
        say_json(content, allow_nan=False)
    else:
        say(render_text(content))
    return 0


def _label_map(text: str | None) -> dict[str, str]:
    """Read LABEL=CLASS,LABEL=CLASS."""
    if text is None:
        return {}
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(label.strip() and equals for label, equals, _ in pairs):
        raise UsageError("cli.label_map", text=text)
    return {label.strip(): meant.strip().lower() for label, _, meant in pairs}
