"""`trivalent train`: a recipe to an expert or a bundle. Needs the extra `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.cli.training_options import add_training_options, importing_the_lab


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "train", help="train an expert or assemble a bundle from a recipe", description=__doc__
    )
    command.add_argument(
        "recipe", type=Path, metavar="RECIPE.yaml", help="what to train, as the files of recipes/"
    )
    add_training_options(command)
    return command


def run(arguments: argparse.Namespace) -> int:
    """Train; progress is logged to stderr and checkpoints let a stopped run continue."""
    with importing_the_lab():
        from trivalent.lab.train import train
    for line in train(arguments.recipe, out=arguments.output, overrides=arguments.set, root=arguments.root):
        say(line)
    return 0
