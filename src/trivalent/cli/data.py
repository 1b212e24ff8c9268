"""`trivalent data`: what data sets there are, and what their samples and labels are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

EPILOG = "Data lie under --root DIR, else under $TRIVALENT_DATA."


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command and its actions to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "data", help="read, describe and check data sets", description=__doc__, epilog=EPILOG
    )
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="name the data sets, their protocols and licences")
    listing.add_argument("--json", action="store_true", help="one JSON object")
    info = actions.add_parser("info", help="sizes, classes, imbalance, durations, gaps", epilog=EPILOG)
    info.add_argument("name", metavar="NAME", help="see `trivalent data list`")
    info.add_argument("--protocol", metavar="P", help="default: the first that the list names")
    info.add_argument(
        "--features", action="store_true", help="compute features that are not stored (may take minutes)"
    )
    info.add_argument("--json", action="store_true", help="one JSON object")
    for action in (info,):
        action.add_argument("--root", type=Path, metavar="DIR", help="folder of the data sets")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    actions = {"list": _list, "info": _info}
    return actions[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.registry import DATASETS

    if arguments.json:
        content = {
            name: {
                "title": entry.title,
                "protocols": {p.name: p.description for p in entry.protocols},
                "licence": entry.licence,
                "homepage": entry.homepage,
            }
            for name, entry in DATASETS.items()
        }
        print(json.dumps(content, indent=1))
        return 0
    for name, entry in DATASETS.items():
        print(f"{name:16}{entry.title}")
        print(f"{'':16}protocols: {', '.join(p.name for p in entry.protocols)}; licence: {entry.licence}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from trivalent.lab.data_report import render_text, report
    from trivalent.lab.datasets.registry import find_dataset
    from trivalent.lab.datasets.root import data_root

    entry = find_dataset(arguments.name)
    entry.protocol(arguments.protocol)  # a wrong name is told before the data are looked for
    content = report(
        entry, data_root(arguments.root), protocol=arguments.protocol, features=arguments.features
    )
    print(json.dumps(content, indent=1) if arguments.json else render_text(content))
    return 0
