"""`trivalent tune`: search options of a fusion recipe on validation data. Needs the extra `tune`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.cli.training_options import add_training_options, importing_the_lab
from trivalent.core.messages import Message, chosen_language


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "tune",
        help="search options of a fusion recipe on validation data",
        description=__doc__,
        epilog="What is searched stands under `tune:` in the recipe; a stopped search goes on by itself.",
    )
    command.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="of kind fusion")
    add_training_options(command)
    command.add_argument(
        "--trials", type=int, default=30, metavar="N", help="in all; the first is the recipe as it stands"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the search")
    command.add_argument(
        "--folds",
        type=int,
        default=0,
        metavar="N",
        help="cross-validate on training and validation samples; 0 judges on the validation part",
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Search; every trial is told on stderr, with the time that is left."""
    with importing_the_lab():
        from trivalent.lab.fusion.tuning import tune
    language = chosen_language()

    def tell(message: Message) -> None:
        say(message.said(language), error=True, flush=True)

    with _quiet():
        found = tune(
            arguments.recipe,
            out=arguments.output,
            overrides=arguments.set,
            trials=arguments.trials,
            root=arguments.root,
            seed=arguments.seed,
            folds=arguments.folds,
            tell=tell,
        )
    for message in found:
        say(message.said(language))
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """Tell a line for each trial, not one for each of its epochs, nor what every trial would repeat."""
    loggers = [logging.getLogger(f"trivalent.lab.{name}") for name in ("fit.training", "fusion.train")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
