"""How long a graph takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.graphs import Graph

WARM_UP = 50


def median_latency_ms(
    graph: bytes, inputs: Mapping[str, NDArray[np.generic]], *, rounds: int = 300
) -> float:
    """Median milliseconds of one run for `logits` on one thread, after a warm-up."""
    asked = Graph(lambda: graph, name="the graph")
    return median_ms(lambda: asked.run(inputs, ["logits"]), rounds=rounds)


def median_ms(run: Callable[[], object], *, rounds: int = 300) -> float:
    """Median milliseconds of a call, after a warm-up."""
    spent = []
    for _ in range(WARM_UP + rounds):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[WARM_UP:]) * 1e3
