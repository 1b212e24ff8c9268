"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported: on small networks threads cost more than they give, and much more when
# other programs want the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from attack_log import Attack

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


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our mark."""
    config.addinivalue_line("markers", "finding(number): a numbered finding of the hostile day")


@pytest.fixture
def attack(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Iterator[Attack]:
    """Attempts of an attack; at the end nothing may have got through."""
    log = Attack()
    yield log
    mark = request.node.get_closest_marker("finding")
    record_property("attack", json.dumps({"finding": mark.args[0] if mark else None, **log.facts()}))
    assert log.attempts, "an attack that tried nothing"
    assert not log.broken, f"{len(log.broken)} of {log.attempts} got through: {log.broken[:10]}"
