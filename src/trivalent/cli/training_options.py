"""What the commands that train have in common: options, log, and a helpful error without the extra."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivalent.core.errors import MissingExtraError
from trivalent.core.logs import log_to_stderr


def add_training_options(command: argparse.ArgumentParser) -> None:
    """Add --output, --set and --root."""
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder of what is made"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the recipe; may be given again",
    )
    command.add_argument(
        "--root", type=Path, default=None, metavar="DIR", help="data; else $TRIVALENT_DATA"
    )


@contextmanager
def importing_the_lab() -> Iterator[None]:
    """Log our progress to stderr; an import that fails within names the extra `train`."""
    log_to_stderr(logging.ERROR)
    logging.getLogger("trivalent").setLevel(logging.INFO)
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
