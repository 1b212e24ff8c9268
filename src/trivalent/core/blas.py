"""One thread for products of small matrices: with more, the threads of BLAS mostly wait for each other.

COVAREP multiplies matrices of some hundred rows thousands of times. With OpenBLAS on two threads that takes
a multiple of the processor time beside another busy process, and is not faster on a quiet machine either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep the BLAS of NumPy and SciPy to one thread; what was set before comes back.

    OpenBLAS knows one number for the whole process: of several threads inside, the first sets it and
    takes it away.

    Examples
    --------
    >>> from threadpoolctl import threadpool_info
    >>> with one_blas_thread():
    ...     {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    {1}
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which is found when it is there
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


__all__ = ["one_blas_thread"]
