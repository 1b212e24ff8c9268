"""The option `--label-map` of commands that read your own table: what its labels mean."""

from __future__ import annotations

import argparse

from trivalent.core.errors import UsageError


def add_label_map(command: argparse.ArgumentParser) -> None:
    """Add the option."""
    command.add_argument(
        "--label-map",
        "--labels",
        metavar="L=CLASS,...",
        help="what the labels of your own .csv or .pkl mean",
    )


def read_label_map(text: str | None) -> dict[str, str]:
    """Read LABEL=CLASS,LABEL=CLASS.

    >>> read_label_map("happy=Positive, 0=negative")
    {'happy': 'positive', '0': 'negative'}

    Raises
    ------
    UsageError
        It is none.
    """
    if text is None:
        return {}
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(label.strip() and equals for label, equals, _ in pairs):
        raise UsageError("cli.label_map", text=text)
    return {label.strip(): meant.strip().lower() for label, _, meant in pairs}
