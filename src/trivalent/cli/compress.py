"""`trivalent compress`: a smaller, faster bundle from a bundle, and what that costs. Needs `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.cli.training_options import add_training_options, importing_the_lab


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "compress",
        help="make a smaller, faster bundle from a bundle",
        description=__doc__,
        epilog="Without a recipe the words are distilled into two layers, the voice into one network.",
    )
    command.add_argument("bundle", metavar="BUNDLE", help="installed name, folder or .zip")
    add_training_options(command)
    command.add_argument(
        "--recipe", type=Path, metavar="FILE.yaml", help="what to do, as recipes/fast.yaml"
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Compress; progress is logged to stderr and checkpoints let a stopped run continue."""
    with importing_the_lab():
        from trivalent.lab.compress.bundling import compress
        from trivalent.lab.compress.recipe import load_compression
        from trivalent.lab.datasets.root import data_root
    recipe = load_compression(arguments.recipe, overrides=arguments.set)
    for line in compress(arguments.bundle, recipe, root=data_root(arguments.root), out=arguments.output):
        say(line)
    return 0
