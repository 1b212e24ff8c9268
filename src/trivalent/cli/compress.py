"""`trivalent compress`: a smaller, faster bundle from a bundle, and what that costs. Needs `train`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from trivalent.errors import MissingExtraError


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "compress",
        help="make a smaller, faster bundle from a bundle",
        description=__doc__,
        epilog="Without a recipe the words are distilled into two layers, the voice into one network.",
    )
    command.add_argument("bundle", metavar="BUNDLE", help="installed name, folder or .zip")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--recipe", type=Path, metavar="FILE.yaml", help="what to do, as recipes/fast.yaml"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override the recipe"
    )
    command.add_argument(
        "--root", type=Path, default=None, metavar="DIR", help="data; else $TRIVALENT_DATA"
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Compress; progress is logged to stderr and checkpoints let a stopped run continue."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("trivalent").setLevel(logging.INFO)
    try:
        from trivalent.lab.compress.bundling import compress
        from trivalent.lab.compress.recipe import load_compression
        from trivalent.lab.datasets.root import data_root
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    recipe = load_compression(arguments.recipe, overrides=arguments.set)
    for line in compress(arguments.bundle, recipe, root=data_root(arguments.root), out=arguments.output):
        print(line)
    return 0
