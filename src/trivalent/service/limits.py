"""Limits on how often somebody asks, counted in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
MAX_TRACKED = 10_000  # keys or addresses remembered at a time


@dataclass
class _Bucket:
    tokens: float
    filled: float


class TokenBuckets:
    """One bucket of tokens for each name: a request takes one, time gives them back.

    A bucket holds as many tokens as the name may use in a minute, so that a pause can be made up
    for, but the mean rate cannot be exceeded.

    >>> buckets = TokenBuckets(clock=lambda: 0.0)
    >>> [buckets.take("key", per_minute=2) for _ in range(3)]
    [0.0, 0.0, 30.0]
    """

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, *, per_minute: float) -> float:
        """Take a token; returns 0, or the seconds until there will be one."""
        with self._lock:
            bucket = self._filled(name, per_minute)
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0.0
            return _seconds(bucket, per_minute)

    def peek(self, name: str, *, per_minute: float) -> float:
        """Tell as `take` does, without taking."""
        with self._lock:
            bucket = self._filled(name, per_minute)
            return 0.0 if bucket.tokens >= 1 else _seconds(bucket, per_minute)

    def _filled(self, name: str, per_minute: float) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(per_minute, now)
        bucket.tokens = min(per_minute, bucket.tokens + (now - bucket.filled) * per_minute / 60)
        bucket.filled = now
        self._buckets.move_to_end(name)
        while len(self._buckets) > MAX_TRACKED:
            self._buckets.popitem(last=False)  # the one that asked longest ago: the fullest
        return bucket


def _seconds(bucket: _Bucket, per_minute: float) -> float:
    return (1 - bucket.tokens) * 60 / per_minute
