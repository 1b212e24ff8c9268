"""Labelled pictures of faces: `faces/labels.csv` under a data root.

The table has the columns file, source, emotion, identity and sentiment; sentiment is
blank for surprise, which has no valence of its own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.features.face import FACE
from trivalent.lab.datasets.tabular import NO_LABEL

FOLDER = "faces"
LABELS_FILE = "labels.csv"
TABLE_COLUMNS = ("file", "source", "emotion", "identity", "sentiment")


def read_labels(root: Path) -> pd.DataFrame:
    """Read the table of pictures.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `faces/`.

    Returns
    -------
    DataFrame
        Columns of `TABLE_COLUMNS`, all str, and `label` (`Sentiment` codes or `NO_LABEL`).

    Raises
    ------
    DataError
        The table is absent, lacks a column or has an unknown sentiment.
    """
    path = root / FOLDER / LABELS_FILE
    if not path.is_file():
        raise DataError("faces.absent", folder=FOLDER, labels_file=LABELS_FILE, root=root)
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in TABLE_COLUMNS if name not in table.columns]
    if missing:
        raise DataError(
            "faces.columns", table_columns=list(TABLE_COLUMNS), labels_file=LABELS_FILE, missing=missing[0]
        )
    codes = {"": NO_LABEL} | {s.label: int(s) for s in Sentiment}
    unknown = set(table["sentiment"]) - set(codes)
    if unknown:
        raise DataError("faces.sentiment", labels_file=LABELS_FILE, unknown=min(unknown))
    table["label"] = table["sentiment"].map(codes).astype(np.int64)
    return table


def cache_key(root: Path) -> str:
    """Hash of the table of pictures, the extractor and its columns: 16 hexadecimal digits."""
    content = hashlib.sha256((root / FOLDER / LABELS_FILE).read_bytes())
    content.update("\n".join((FACE.name, FACE.version, *FACE.columns)).encode())
    return content.hexdigest()[:16]


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture to RGB, uint8, shape (h, w, 3).

    Raises
    ------
    DataError
        The file is absent or not a picture.
    """
    if not path.is_file():
        raise DataError("faces.picture_absent", name=path.name)
    try:
        with Image.open(path) as picture:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError("faces.picture", name=path.name) from error
