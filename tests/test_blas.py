"""Products of small matrices take one thread of BLAS, and what was set before comes back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - its BLAS is limited, too
from threadpoolctl import threadpool_info, threadpool_limits

from trivalent.core.blas import one_blas_thread
from trivalent.features.covarep import extractor


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def with_two_threads(work) -> None:
    """Run in a thread of its own, which therefore has the say over BLAS."""
    seen: list[BaseException | None] = []

    def run() -> None:
        try:
            with threadpool_limits(2, user_api="blas"):
                work()
                assert threads() == {2}
            seen.append(None)
        except BaseException as error:
            seen.append(error)

    worker = threading.Thread(target=run)
    worker.start()
    worker.join()
    if seen[0] is not None:
        raise seen[0]


def test_what_was_set_comes_back_also_after_an_error():
    def work() -> None:
        with one_blas_thread(), one_blas_thread():
            assert threads() == {1}
        assert threads() == {2}
        with pytest.raises(ValueError, match="inside"), one_blas_thread():
            raise ValueError("inside")

    with_two_threads(work)


def test_two_threads_inside_leave_nothing_behind():
    def work() -> None:
        inside, leave = threading.Event(), threading.Event()

        def other() -> None:
            with one_blas_thread():
                inside.set()
                leave.wait(30)

        second = threading.Thread(target=other)
        with one_blas_thread():
            second.start()
            assert inside.wait(30)
            assert threads() == {1}
        leave.set()
        second.join()

    with_two_threads(work)


def test_covarep_is_computed_in_one_thread(monkeypatch):
    seen = []
    values = extractor._values
    monkeypatch.setattr(extractor, "_values", lambda *given: seen.append(threads()) or values(*given))
    buzz = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000) - 0.9)
    with_two_threads(lambda: extractor.covarep(buzz, 16000, columns=["F0"]))
    assert seen == [{1}]
