"""What all requests of one server share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from fastapi import Request

from trivalent.core.settings import Settings
from trivalent.service.catalogue import Catalogue
from trivalent.service.limits import TokenBuckets
from trivalent.service.metrics import Metrics
from trivalent.store import Store
from trivalent.work.pool import Pool
from trivalent.work.runner import JobRunner


@dataclass
class Service:
    """The store, its workers and the counters of one server.

    Attributes
    ----------
    pool : Pool
        Children for what somebody waits for: small texts, and a look at an upload.
    requests : TokenBuckets
        By the id of an API key.
    failures : TokenBuckets
        Failed authentications, by the client's address.
    draining : threading.Event
        Set when the server stops: it is no longer ready.
    """

    store: Store
    settings: Settings
    runner: JobRunner
    catalogue: Catalogue
    pool: Pool
    metrics: Metrics
    requests: TokenBuckets = field(default_factory=TokenBuckets)
    failures: TokenBuckets = field(default_factory=TokenBuckets)
    draining: threading.Event = field(default_factory=threading.Event)


def service_of(request: Request) -> Service:
    """Find the service of a request's application."""
    found: Service = request.app.state.service
    return found
