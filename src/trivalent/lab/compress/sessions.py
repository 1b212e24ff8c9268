"""Graphs in memory: one way to run them, and to time them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from trivalent.core.errors import BundleError

WARM_UP = 50


def open_session(graph: bytes, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a graph as the runtime does.

    Raises
    ------
    BundleError
        It is none.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = str(error).splitlines()[0][:200]
        raise BundleError(f"expected an ONNX graph, got: {reason}; get the bundle again") from error


def median_latency_ms(
    graph: bytes, inputs: Mapping[str, NDArray[np.generic]], *, rounds: int = 300
) -> float:
    """Median milliseconds of one run for `logits` on one thread, after a warm-up."""
    session = open_session(graph)
    return median_ms(lambda: session.run(["logits"], dict(inputs)), rounds=rounds)


def median_ms(run: Callable[[], object], *, rounds: int = 300) -> float:
    """Median milliseconds of a call, after a warm-up."""
    spent = []
    for _ in range(WARM_UP + rounds):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[WARM_UP:]) * 1e3
