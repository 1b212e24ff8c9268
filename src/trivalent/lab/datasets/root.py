"""Where the data sets lie."""

from __future__ import annotations

import os
from pathlib import Path

from trivalent.core.errors import DataError


def data_root(given: Path | None = None) -> Path:
    """Return the folder of the data sets: the argument, else $TRIVALENT_DATA.

    Raises
    ------
    DataError
        Neither names an existing folder.
    """
    named = given or (Path(os.environ["TRIVALENT_DATA"]) if "TRIVALENT_DATA" in os.environ else None)
    if named is None or not named.is_dir():
        raise DataError("dataset.data_root", named=named)
    return named
