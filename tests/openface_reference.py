"""Reference values of OpenFace 2.2 and its model files, which lie beside the real data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import data_root
from trivalent.features.openface.models import OpenFaceModels, read_models

ROOT = data_root().parent / "reference" / "openface"
FOLDER = ROOT / "AU_predictors"
CLIPS = "abcdefg"

needs_reference = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no reference of OpenFace at {ROOT}")


@cache
def models() -> OpenFaceModels:
    """Read the model files."""
    return read_models(FOLDER)


@cache
def clip(name: str) -> dict[str, NDArray[Any]]:
    """Read the values of a clip."""
    path: Path = ROOT / f"clip_{name}.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
