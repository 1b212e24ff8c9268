"""Figures for Prometheus: nothing that names a person, a file or a text."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trivalent.core.errors import StoreError
from trivalent.store import Store

log = logging.getLogger(__name__)
METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class Metrics:
    """Counters of one server; each has a registry of its own."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "trivalent_http_requests",
            "Requests by method, route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "trivalent_http_request_seconds",
            "Seconds from the request to the end of its answer",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(_Store(store))

    def observe(self, method: str, route: str, *, status: int, seconds: float) -> None:
        """Count one answered request; `route` is a template such as /v1/jobs/{job_id}."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Write all figures in Prometheus' text format."""
        return generate_latest(self.registry)


class _Store(Collector):
    """Counted in the database at the moment of asking, so that they are those of all processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("trivalent_jobs", "Jobs by state", labels=["state"])
        analyses = GaugeMetricFamily("trivalent_analyses", "Analyses kept, by label", labels=["label"])
        try:
            for state, count in self._store.jobs.counts().items():
                jobs.add_metric([str(state)], count)
            for label, count in self._store.counts_by_label().items():
                analyses.add_metric([label], count)
        except StoreError as error:
            log.error("the database did not answer for /metrics: %s", error)
            return
        yield jobs
        yield analyses
