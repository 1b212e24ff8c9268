"""Workers that take jobs from the store, for the app and the service alike.

Every worker is a thread with a child process of its own. A job is claimed with a lease that the
worker renews while it goes on, so that the jobs of a killed program are taken up by the next one.

The options of a job are those of `AnalyzerOptions` that were asked for, the `kind` of its file, whose
name in the store tells nothing, and a `transcript`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from trivalent.bundle.shelf import resolve_choice
from trivalent.core.analysis import Analysis
from trivalent.core.errors import CancelledError, StoreError, TrivalentError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.private_folders import TEMPORARY
from trivalent.core.settings import Settings
from trivalent.media.kinds import kind_of
from trivalent.store import Beat, Claim, Record, Store
from trivalent.work.isolated import Isolated, Limits

log = logging.getLogger(__name__)
LEASE_S = 30.0
BEAT_S = 3.0
LOOK_S = 1.0  # another program may have added a job to the same database
SWEEP_S = 3600.0
LONGEST_PAUSE_S = 30.0  # between attempts to reach a database that is away


class JobRunner:
    """Runs jobs until it is stopped.

    Parameters
    ----------
    store : Store
    settings : Settings
        Workers, threads and limits of one file.
    finished : callable, optional
        Called by a worker with each stored record and its analysis, which still has the key frames
        that the store leaves out where the recording is not kept.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        finished: Callable[[Record, Analysis], None] | None = None,
    ) -> None:
        self.store, self.settings, self.finished = store, settings, finished
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers, and a keeper that deletes what is past its time."""
        for i in range(self.settings.workers):
            self._start(f"worker-{i}", self._work)
        self._start("keeper", self._keep)

    def _start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def alive(self) -> bool:
        """Whether every worker still runs."""
        return bool(self._threads) and all(t.is_alive() for t in self._threads)

    def wake(self) -> None:
        """Have an idle worker look at once; call it after adding a job."""
        with self._wake:
            self._wake.notify()

    def stop(self, grace_s: float = 10.0) -> None:
        """Finish nothing more: running jobs go back to the queue within the grace.

        A job that could not be given back in time is taken up again when its lease runs out.
        """
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        until = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        worker = f"{socket.gethostname()}:{os.getpid()}:{threading.current_thread().name}"
        limits = Limits(self.settings.time_limit_s, int(self.settings.memory_limit_mb * 2**20))
        pause_s = LOOK_S
        with Isolated(limits, temporary=self.settings.home / TEMPORARY) as analyzer:
            while not self._stopping.is_set():
                try:
                    claim = self.store.jobs.claim(worker, lease_s=LEASE_S)
                    if claim is not None:
                        _Work(self, claim, analyzer).run()
                    pause_s = LOOK_S
                except StoreError as error:
                    log.warning("the store cannot be used, next attempt in %.0f s: %s", pause_s, error)
                    claim, pause_s = None, min(LONGEST_PAUSE_S, 2 * pause_s)
                except Exception:
                    # the job's lease runs out and its attempts are counted; the worker goes on
                    log.exception("unexpected error in a worker")
                    claim, pause_s = None, LONGEST_PAUSE_S
                if claim is None:
                    self._idle(pause_s)

    def _idle(self, seconds: float) -> None:
        with self._wake:
            if not self._stopping.is_set():
                self._wake.wait(seconds)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                self.store.sweep()
                self.store.apply_retention(self.settings.retention_days)
            except StoreError as error:
                log.warning("retention could not be applied: %s", error)
            self._stopping.wait(SWEEP_S)


class _Work:
    """One claimed job on its way."""

    def __init__(self, runner: JobRunner, claim: Claim, analyzer: Isolated) -> None:
        self.runner, self.claim, self.analyzer = runner, claim, analyzer
        self.jobs = runner.store.jobs
        self.stage, self.share = "", 0.0
        self.beaten = float("-inf")
        self.state = Beat.GOES_ON

    def run(self) -> None:
        """Analyse and finish, fail or give back."""
        claim, settings = self.claim, self.runner.settings
        options = claim.job.options
        try:
            chosen = AnalyzerOptions.from_dict({"model": settings.model, **options})
            model = str(resolve_choice(chosen.model, settings))
            analysis = self.analyzer.analyze(
                claim.path,
                name=claim.job.name,
                # jobs of earlier versions have a name that tells
                kind=options.get("kind") or kind_of(claim.job.name),
                options=replace(chosen, model=model, threads=settings.threads),
                transcript=options.get("transcript"),
                report=self._report,
                cancelled=self._stopped,
            )
        except CancelledError:
            if self.state is Beat.GOES_ON:  # the program stops, not the user
                with suppress(StoreError):
                    self.jobs.release(claim)
            return
        except StoreError:
            raise
        except TrivalentError as error:
            # the name under which the store keeps a file means nothing to its owner
            self.jobs.fail(claim, error.message.renamed(claim.path, claim.job.name))
            return
        record = self.jobs.finish(claim, analysis)
        if record is not None and self.runner.finished is not None:
            self.runner.finished(record, analysis)

    def _report(self, stage: str, share: float) -> None:
        if stage != self.stage:
            self.beaten = float("-inf")  # a new stage is told at once
        self.stage, self.share = stage, share

    def _stopped(self) -> bool:
        """Renew the lease now and then; tell whether to stop."""
        now = time.monotonic()
        if now - self.beaten >= BEAT_S:
            try:
                self.state = self.jobs.beat(
                    self.claim, lease_s=LEASE_S, stage=self.stage, progress=self.share
                )
                self.beaten = now
            except StoreError as error:
                # the lease outlasts several beats; a database that stays away is noticed at the end
                log.warning("the lease could not be renewed: %s", error)
                self.beaten = now
        return self.state is not Beat.GOES_ON or self.runner._stopping.is_set()
