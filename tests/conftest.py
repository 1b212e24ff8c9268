"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported: on small networks threads cost more than they give, and much more when
# other programs want the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from attack_log import Attack

if TYPE_CHECKING:
    from trivalent.core.analysis import Analysis

REPOSITORY = Path(__file__).resolve().parents[1]
SLOW = Path(__file__).with_name("slow.txt")
SLOW_S = 0.25  # of a test function with all its parameters


def data_root() -> Path:
    """Return the folder with real data ($TRIVALENT_DATA, else beside the repository)."""
    return Path(os.environ.get("TRIVALENT_DATA", REPOSITORY.parent / "shared" / "data"))


def let_others_in(folder: Path) -> None:
    """Open a temporary folder to other users of the machine: pytest shuts all of its own to them."""
    temporary = Path(tempfile.gettempdir())
    for shut in (folder, *folder.parents):
        if shut != temporary and shut.is_relative_to(temporary):
            shut.chmod(0o755)


@pytest.fixture
def real_data() -> Path:
    """Skip unless the real data are on this machine."""
    root = data_root()
    if not root.is_dir():
        pytest.skip(f"no real data at {root}; set TRIVALENT_DATA")
    return root


@pytest.fixture(scope="module")
def tones_are_voices() -> Iterator[None]:
    """Have the voice judged where nobody speaks: the sound of many tests is a tone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trivalent.experts.audio._where_spoken", lambda readings, speech: list(readings))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to measure which tests are slow."""
    parser.addoption(
        "--write-slow",
        action="store_true",
        help=f"note in {SLOW.name} which of these tests are slow",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our marks."""
    config.addinivalue_line("markers", "finding(number): a numbered finding of the hostile day")
    config.addinivalue_line("markers", f"slow: took {SLOW_S:g} s or more when {SLOW.name} was written")
    if config.getoption("--write-slow"):
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("expected one process to measure in; leave -n out")
        config.pluginmanager.register(Stopwatch())


def function_of(node_id: str) -> str:
    """Name a test without its parameters."""
    return node_id.partition("[")[0]


def slow_tests() -> dict[str, float]:
    """Read the tests that were measured to be slow, with their seconds."""
    lines = map(str.split, SLOW.read_text(encoding="utf-8").splitlines())
    return {test: float(seconds) for test, seconds in lines}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what was measured to be slow: `-m "not slow"` leaves it out, `--cov` does not look at it."""
    known = slow_tests()
    for item in items:
        if function_of(item.nodeid) in known:
            item.add_marker("slow")
            item.add_marker("no_cover")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put the main module back: Streamlit's tests replace it, and a process that is spawned runs it."""
    main = sys.modules["__main__"]
    try:
        return (yield)
    finally:
        sys.modules["__main__"] = main


class Stopwatch:
    """Adds up what test functions take with all their parameters, and the fixtures that they ask for.

    A shared fixture counts for every test that uses it: without the others it would wait for it alone.
    Endings do not count, for they end what was shared, too.
    """

    def __init__(self) -> None:
        self._taken_s: Counter[str] = Counter()
        self._shared_s: dict[tuple[str, str], float] = {}  # by where a fixture is defined, and its name
        self._uses: dict[str, set[tuple[str, str]]] = {}
        self._waited_s = 0.0  # of the present test, for what is shared

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        """Time a shared fixture; those that it needs are there before."""
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                took, key = time.perf_counter() - began, (fixturedef.baseid, fixturedef.argname)
                self._shared_s[key] = max(took, self._shared_s.get(key, 0.0))
                self._waited_s += took

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Count what is of this test alone, and note what it shares."""
        name = function_of(item.nodeid)
        if call.when == "setup":
            self._taken_s[name] += call.duration - self._waited_s
            self._waited_s = 0.0
            asked = getattr(item, "fixturenames", ())
            self._uses.setdefault(name, set()).update(
                key for key in self._shared_s if key[1] in asked and item.nodeid.startswith(key[0])
            )
        elif call.when == "call":
            self._taken_s[name] += call.duration

    def pytest_sessionfinish(self) -> None:
        """Write the slow ones; what was not run keeps its line."""
        slow = {test: s for test, s in slow_tests().items() if test not in self._taken_s}
        for test, own in self._taken_s.items():
            if (taken := own + sum(self._shared_s[key] for key in self._uses[test])) >= SLOW_S:
                slow[test] = taken
        SLOW.write_text("".join(f"{test} {s:.1f}\n" for test, s in sorted(slow.items())), encoding="utf-8")


@pytest.fixture(scope="session")
def sample() -> Analysis:
    """The bundled clip, analysed once for all tests that read of it."""
    from trivalent import Analyzer
    from trivalent.core.assets import DATA

    return Analyzer().analyze(DATA / "samples" / "sample.mp4")


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords cheaply in this process; what the real parameters cost has tests of its own."""
    from argon2 import PasswordHasher

    from trivalent.store import passwords

    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._dummy.cache_clear()


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
