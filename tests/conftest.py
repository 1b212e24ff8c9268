"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported: on small networks threads cost more than they give, and much more when
# other programs want the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from attack_log import Attack

REPOSITORY = Path(__file__).resolve().parents[1]
SLOW = Path(__file__).with_name("slow.txt")
SLOW_S = 0.25  # of a test function with all its parameters


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to measure which tests are slow."""
    parser.addoption(
        "--write-slow", action="store_true", help=f"write {SLOW.name} anew from this run of all tests"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our marks."""
    config.addinivalue_line("markers", "finding(number): a numbered finding of the hostile day")
    config.addinivalue_line("markers", f"slow: took {SLOW_S:g} s or more when {SLOW.name} was written")
    if config.getoption("--write-slow") and not hasattr(config, "workerinput"):  # not in each of several
        config.pluginmanager.register(Stopwatch())


def function_of(node_id: str) -> str:
    """Name a test without its parameters."""
    return node_id.partition("[")[0]


def slow_tests() -> set[str]:
    """Read the tests that were measured to be slow."""
    return {line.split()[0] for line in SLOW.read_text(encoding="utf-8").splitlines()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what was measured to be slow: `-m "not slow"` leaves it out, `--cov` does not look at it."""
    known = slow_tests()
    for item in items:
        if function_of(item.nodeid) in known:
            item.add_marker("slow")
            item.add_marker("no_cover")


class Stopwatch:
    """Adds up what test functions take, the fixtures that they ask for included."""

    def __init__(self) -> None:
        self.taken_s: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count each phase of each test."""
        self.taken_s[function_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Write the slow ones."""
        slow = sorted((name, s) for name, s in self.taken_s.items() if s >= SLOW_S)
        SLOW.write_text("".join(f"{name} {s:.1f}\n" for name, s in slow), encoding="utf-8")


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
