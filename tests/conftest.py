"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: on small networks threads cost more than they give, and much more when
# other programs want the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
