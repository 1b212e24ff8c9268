"""`trivalent data`: what data sets there are, and what their samples and labels are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say, say_json
from trivalent.core.errors import UsageError

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
    info.add_argument(
        "name", metavar="NAME", help="see `trivalent data list`; or your own .csv, or an MMSA .pkl"
    )
    info.add_argument("--protocol", metavar="P", help="default: the first that the list names")
    info.add_argument(
        "--features", action="store_true", help="compute features that are not stored (may take minutes)"
    )
    info.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes for --features of your own .csv"
    )
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.add_argument("--html", type=Path, metavar="F", help="also a page with plots")
    convert = actions.add_parser(
        "convert",
        help=".csd to .npz and back; a data set to .npz or .csv, or aligned to words",
        epilog=EPILOG,
    )
    convert.add_argument("name", metavar="NAME|FILE", help="a data set, a .csd file or an .npz made of one")
    convert.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="file to write; with --align a folder",
    )
    convert.add_argument("--protocol", metavar="P", help="default: the first that the list names")
    convert.add_argument(
        "--align", choices=("words",), help="mosei, mosi: write the tracks of each sample by word into OUT"
    )
    synthesize = actions.add_parser(
        "synthesize", help="write the official files with real segments and random features", epilog=EPILOG
    )
    synthesize.add_argument("name", choices=("mosei",), help="data set whose files are made")
    synthesize.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="new data root")
    synthesize.add_argument(
        "--videos", type=int, metavar="N", help="only the first N videos; all if not given"
    )
    synthesize.add_argument(
        "--rate", type=float, default=1.0, metavar="R", help="share of the official frame rates"
    )
    synthesize.add_argument("--facet", action="store_true", help="also the FACET file")
    synthesize.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random features")
    fetch = actions.add_parser(
        "fetch", help="download the official files; an interrupted download is continued", epilog=EPILOG
    )
    fetch.add_argument("name", metavar="NAME", help="see `trivalent data list`")
    fetch.add_argument("--file", nargs="+", default=[], metavar="F", help="only these files")
    check = actions.add_parser("check", help="are the files there, whole, and as known", epilog=EPILOG)
    check.add_argument("name", metavar="NAME", help="see `trivalent data list`")
    check.add_argument("--deep", action="store_true", help="read every key (may take minutes)")
    check.add_argument("--json", action="store_true", help="one JSON object")
    for action in (info, convert, synthesize, fetch, check):
        action.add_argument("--root", type=Path, metavar="DIR", help="folder of the data sets")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    actions = {
        "list": _list,
        "info": _info,
        "convert": _convert,
        "synthesize": _synthesize,
        "fetch": _fetch,
        "check": _check,
    }
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
        say_json(content)
        return 0
    for name, entry in DATASETS.items():
        say(f"{name:16}{entry.title}")
        say(f"{'':16}protocols: {', '.join(p.name for p in entry.protocols)}; licence: {entry.licence}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.own import OwnOptions
    from trivalent.lab.datasets.registry import find_dataset
    from trivalent.lab.datasets.report import render_text, report

    entry = find_dataset(arguments.name, own=OwnOptions(workers=arguments.workers))
    entry.protocol(arguments.protocol)  # a wrong name is told before the data are looked for
    content = report(entry, _root(arguments), protocol=arguments.protocol, features=arguments.features)
    if arguments.html is not None:
        from trivalent.core.files import write_text_atomic
        from trivalent.lab.datasets.report_page import render_html

        write_text_atomic(arguments.html, render_html(content))
    if arguments.json:
        say_json(content)
    else:
        say(render_text(content))
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.convert import convert_sequence, save_dataset
    from trivalent.lab.datasets.registry import find_dataset

    source = Path(arguments.name)
    if source.suffix.lower() in {".csd", ".npz"}:
        say(convert_sequence(source, arguments.output))
        return 0
    entry = find_dataset(arguments.name)
    root = _root(arguments)
    if arguments.align:
        if entry.align is None:
            raise UsageError("cli.align_words", name=entry.name)
        lines = entry.align(root, entry.protocol(arguments.protocol), arguments.output)
    else:
        lines = [save_dataset(entry.read(root, arguments.protocol), arguments.output)]
    say("\n".join(lines))
    return 0


def _synthesize(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.mosei import read_segments
    from trivalent.lab.datasets.root import data_root
    from trivalent.lab.datasets.synthetic import Scale, synthesize_mosei

    segments = read_segments(data_root(arguments.root))
    scale = Scale(arguments.videos, arguments.rate, arguments.facet)
    for path in synthesize_mosei(segments, arguments.output, scale=scale, seed=arguments.seed):
        say(f"{path}: {path.stat().st_size / 2**20:,.0f} MiB, synthetic")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.fetch import Fetched, FetchOutcome, fetch
    from trivalent.lab.datasets.registry import find_dataset
    from trivalent.lab.datasets.root import data_root

    def tell(done: Fetched) -> None:
        note = "" if done.outcome is FetchOutcome.FAILED else f"  {done.note}"  # the error tells why
        say(f"{done.outcome:9}{done.path}{note}", flush=True)

    entry = find_dataset(arguments.name)
    fetch(
        entry, arguments.root or data_root(), names=arguments.file, tell=tell
    )  # --root is made if need be
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from trivalent.lab.datasets.check import check, render_check
    from trivalent.lab.datasets.registry import find_dataset
    from trivalent.lab.datasets.root import data_root

    content = check(find_dataset(arguments.name), data_root(arguments.root), deep=arguments.deep)
    if arguments.json:
        say_json(content)
    else:
        say(render_check(content))
    return 0 if content["ok"] else 1


def _root(arguments: argparse.Namespace) -> Path:
    """Return the folder of the data sets; a file given by its path needs none."""
    from trivalent.lab.datasets.root import data_root

    return Path() if arguments.name.lower().endswith((".pkl", ".csv")) else data_root(arguments.root)
