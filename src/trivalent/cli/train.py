"""`trivalent train`: a recipe to an expert or a bundle. Needs the extra `train`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from trivalent.errors import MissingExtraError


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "train", help="train an expert or assemble a bundle from a recipe", description=__doc__
    )
    command.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override the recipe"
    )
    command.add_argument(
        "--root", type=Path, default=None, metavar="DIR", help="data; else $TRIVALENT_DATA"
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Train; progress is logged to stderr and checkpoints let a stopped run continue."""
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("trivalent").setLevel(logging.INFO)
    try:
        from trivalent.lab.train import train
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    for line in train(arguments.recipe, out=arguments.output, overrides=arguments.set, root=arguments.root):
        print(line)
    return 0
