"""Children with a queue: turns, limits, and what is dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from trivalent.core.errors import CancelledError, QueueFullError, TextError
from trivalent.core.options import AnalyzerOptions
from trivalent.work.isolated import Limits, as_analysis
from trivalent.work.pool import Pool

OPTIONS = AnalyzerOptions(modalities=("text",), threads=1).to_dict()
LONG = "It was bad. " * 3000  # some seconds


def words(text: str = "I love it.") -> dict[str, object]:
    return {"text": text, "name": "a", "options": OPTIONS}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    opened = Pool(1, Limits(time_s=60), waiting=6, waiting_each=4)
    yield opened
    opened.close()


def test_an_answer_and_an_error_of_the_task(pool: Pool) -> None:
    answer = pool.call("text", words(), owner="ada", time_s=60)
    assert as_analysis(answer).overall.label == "positive"
    with pytest.raises(TextError, match="an empty one"):
        pool.call("text", words(" "), owner="ada", time_s=60)


def test_what_is_made_of_the_answer_goes_to_the_future(pool: Pool) -> None:
    call = pool.submit("text", words(), owner="ada", time_s=60, then=lambda a: len(a["analysis"]))
    assert call.future.result() > 1

    def broken(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pool.submit("text", words(), owner="ada", time_s=60, then=broken).future.result()


def test_accounts_take_turns_whoever_sent_first(pool: Pool) -> None:
    order: list[str] = []
    lock = threading.Lock()

    def note(owner: str) -> None:
        with lock:
            order.append(owner)

    first = pool.submit("text", words(LONG), owner="ada", time_s=60, then=lambda _: note("ada"))
    while not first.future.running():
        time.sleep(0.01)
    calls = [
        pool.submit("text", words(), owner=owner, time_s=60, then=lambda _, o=owner: note(o))
        for owner in ("ada", "ada", "ben")
    ]
    for call in (first, *calls):
        call.future.result()
    assert order[0] == "ada"  # it was at work
    assert order.index("ben") == 1  # before what ada sent earlier


def test_one_account_cannot_fill_the_queue(pool: Pool) -> None:
    calls = [pool.submit("text", words(LONG), owner="ada", time_s=60)]
    try:
        while len(calls) < 4:
            calls.append(pool.submit("text", words(LONG), owner="ada", time_s=60))
        with pytest.raises(QueueFullError, match="at most 4"):
            calls += [pool.submit("text", words(LONG), owner="ada", time_s=60) for _ in range(2)]
        calls.append(pool.submit("text", words(), owner="ben", time_s=60))
    finally:
        for call in calls[:-1]:
            call.cancel()
    assert calls[-1].future.result()
    for call in calls[:-1]:
        with pytest.raises(CancelledError):
            call.future.result()


def test_a_task_that_waits_too_long_is_refused_and_one_at_work_is_stopped(pool: Pool) -> None:
    first = pool.submit("text", words(LONG), owner="ada", time_s=60)
    late = pool.submit("text", words(), owner="ben", time_s=0.0)
    first.cancel()
    with pytest.raises(QueueFullError, match="a turn"):
        late.future.result()
    with pytest.raises(CancelledError):
        first.future.result()


def test_the_end_drops_what_waits_and_stops_what_works() -> None:
    pool = Pool(1, Limits(time_s=60))
    calls = [pool.submit("text", words(LONG), owner="ada", time_s=60) for _ in range(3)]
    pool.close()
    for call in calls:
        with pytest.raises(CancelledError):
            call.future.result(timeout=10)
