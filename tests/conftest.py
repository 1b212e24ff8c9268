"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def data_root() -> Path:
    """Return the folder with real data ($TRIVALENT_DATA, else beside the repository)."""
    return Path(os.environ.get("TRIVALENT_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    """Skip unless the real data are on this machine."""
    root = data_root()
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set TRIVALENT_DATA")
    return root
