"""Folders of thousands: every file once, whatever happens in between.

The outcome of each file is one small JSON document in `OUT/work`, written at once when the file is
done; it is all that a later run needs to go on. The tables are put together from these documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trivalent.analyzer import Analyzer
from trivalent.bundle.loading import load_bundle
from trivalent.core.errors import CancelledError, InputError, TrivalentError, UsageError
from trivalent.core.files import write_text_atomic
from trivalent.core.locks import lock_now
from trivalent.core.options import AnalyzerOptions
from trivalent.core.plain_text import Decoded, decode
from trivalent.core.regular_files import Facts, facts, read_whole, sha256
from trivalent.core.version import __version__
from trivalent.speech.transcripts import MAX_BYTES
from trivalent.work.isolated import Isolated, Limits
from trivalent.work.sources import Sources

SCHEMA = "trivalent.batch/1"
_KEYS = {"digest", "file", "size_bytes", "mtime_ns", "sha256", "status", "reason", "seconds", "analysis"}
UNREADABLE = "unreadable"  # in the place of the hash of a transcript


@dataclass(frozen=True)
class Task:
    """One file to analyse, and where its outcome goes; it must not lead out of `within`."""

    path: Path
    shown: str
    record: Path
    options: AnalyzerOptions
    limits: Limits
    transcript: Path | None = None
    within: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """How one file ended: `status` is done or failed, with a reason when failed."""

    shown: str
    status: str
    reason: str | None
    size_bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes
    ----------
    tasks : tuple of Task
        Files that have no outcome yet.
    records : tuple of Path
        Where the outcome of every file is or will be, in the order of the input.
    finished : int
        Files of an earlier run that need not be analysed again.
    """

    tasks: tuple[Task, ...]
    records: tuple[Path, ...]
    finished: int


def check_options(options: AnalyzerOptions) -> None:
    """Find a wrong option once, not in every file.

    Raises
    ------
    TrivalentError
        As `Analyzer` raises them.
    """
    Analyzer.of(options)


def plan(
    sources: Sources,
    out: Path,
    *,
    options: AnalyzerOptions,
    limits: Limits,
    restart: bool = False,
    retry_failed: bool = False,
) -> Plan:
    """Compare the sources with what an earlier run left in `out`.

    Parameters
    ----------
    restart : bool
        Forget outcomes that were made with another model or other options, instead of refusing.
    retry_failed : bool
        Analyse again what failed.

    Raises
    ------
    UsageError
        The folder holds outcomes of another model or of other options.
    """
    manifest = _manifest(options)
    _check_manifest(out, manifest, restart=restart)
    tasks, records, seen = [], [], set()
    for path, shown in zip(sources.paths, sources.shown, strict=True):
        record = record_path(out, path)
        if record in seen:
            continue  # the same file, listed twice
        seen.add(record)
        records.append(record)
        transcript = sources.transcripts.get(path)
        task = Task(path, shown, record, options, limits, transcript, sources.within)
        known = read_record(record)
        if known is None or not _is_current(known, task, manifest["digest"], retry_failed):
            tasks.append(task)
    write_text_atomic(out / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    return Plan(tuple(tasks), tuple(records), len(records) - len(tasks))


def _manifest(options: AnalyzerOptions) -> dict[str, Any]:
    bundle = load_bundle(options.model)
    chosen = {k: v for k, v in asdict(options).items() if k != "threads"}  # changes no figure
    model = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    told = {"schema": SCHEMA, "trivalent": __version__, "model": model, "options": chosen}
    return {**told, "digest": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}


def _check_manifest(out: Path, manifest: Mapping[str, Any], *, restart: bool) -> None:
    path = out / "manifest.json"
    if restart or not path.exists():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("batch.manifest", path=path, error=error) from error
    if earlier.get("digest") == manifest["digest"]:
        return
    changed = [k for k in ("trivalent", "model", "options") if _plain(manifest[k]) != earlier.get(k)]
    raise UsageError("batch.changed", changed=" and ".join(changed) or "settings", out=out)


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _is_current(record: Mapping[str, Any], task: Task, digest: str, retry_failed: bool) -> bool:
    """Tell whether an outcome still speaks of this file: same settings, content and transcript."""
    if record["digest"] != digest or (retry_failed and record["status"] == "failed"):
        return False
    # outcomes of earlier versions do not tell; they are right where no transcript is named
    if record.get("transcript_sha256") != _transcript_mark(task.transcript):
        return False
    try:
        now = facts(task.path, within=task.within)
        if now.size_bytes != record["size_bytes"]:
            return False
        if now.mtime_ns == record["mtime_ns"]:
            return True
        return sha256(task.path, time_s=task.limits.time_s, within=task.within)[0] == record["sha256"]
    except InputError:
        # it could not be read then, either
        return record["size_bytes"] == 0 and record["status"] == "failed"


def record_path(out: Path, path: Path) -> Path:
    """Place of a file's outcome: by the hash of its path, in 256 folders."""
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:40]
    return out / "work" / key[:2] / f"{key}.json"


def read_record(path: Path) -> dict[str, Any] | None:
    """Outcome of one file, or None when it has none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and record.get("schema") == SCHEMA and record.keys() >= _KEYS
    return record if known else None


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Keep a second run out of the same folder; the lock dies with its process.

    Raises
    ------
    UsageError
        Another run is at work there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("a")
    except OSError as error:
        raise TrivalentError("batch.folder", out=out, strerror=error.strerror) from error
    with lock:
        with suppress(OSError):  # a file system without locks: documents are still written at once
            if not lock_now(lock.fileno()):
                raise UsageError("batch.at_work", out=out)
        yield


class Worker:
    """Analyses file after file in a child process of its own; not for several threads at once."""

    def __init__(self) -> None:
        self._child: Isolated | None = None

    def child(self, limits: Limits) -> Isolated:
        """Its child, a new one when the limits are others than before."""
        if self._child is None or self._child.limits != limits:
            self.close()
            self._child = Isolated(limits)
        return self._child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.close()
            self._child = None


def analyze_task(task: Task, worker: Worker, *, cancelled: Callable[[], bool] | None = None) -> Outcome:
    """Analyse one file and write its outcome down.

    Raises
    ------
    CancelledError
        `cancelled` said so; nothing is written.
    TrivalentError
        The outcome cannot be written: nothing more can be finished.
    """
    started = time.monotonic()
    file_facts, digest, words, analysis, reason = Facts(), None, None, None, None
    try:
        file_facts = facts(task.path, within=task.within)  # what takes too long to hash is known by these
        digest, file_facts = sha256(task.path, time_s=task.limits.time_s, within=task.within)
        given = None
        if task.transcript is not None:
            words = read_whole(task.transcript, most=MAX_BYTES)
            given = _decoded(words, task.transcript)
        analysis = worker.child(task.limits).analyze(
            task.path,
            name=task.shown,
            options=task.options,
            transcript=None if given is None else given.text,
            time_s=max(0.0, task.limits.time_s - (time.monotonic() - started)),  # the hashing counts
            cancelled=cancelled,
        )
        if given is not None and task.transcript is not None:
            doubts = given.warnings(task.transcript.name)
            analysis = replace(analysis, warnings=(*doubts, *analysis.warnings))
    except CancelledError:
        raise
    except TrivalentError as error:
        reason = str(error)
    seconds = time.monotonic() - started
    status = "failed" if analysis is None else "done"
    record = {
        "schema": SCHEMA,
        "digest": _digest(task.options),
        "file": task.shown,
        **asdict(file_facts),
        "sha256": digest,
        "transcript_sha256": _mark(words, named=task.transcript is not None),
        "status": status,
        "reason": reason,
        "seconds": round(seconds, 3),
        "analysis": None if analysis is None else analysis.to_dict(),
    }
    task.record.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(task.record, json.dumps(record) + "\n")
    return Outcome(task.shown, status, reason, file_facts.size_bytes, seconds)


_digests: dict[AnalyzerOptions, str] = {}


def _digest(options: AnalyzerOptions) -> str:
    if options not in _digests:
        _digests[options] = _manifest(options)["digest"]
    return _digests[options]


def _decoded(words: bytes, path: Path) -> Decoded:
    try:
        return decode(words)
    except UnicodeDecodeError as error:
        raise InputError("text.damaged_utf16", name=path.name) from error


def _transcript_mark(path: Path | None) -> str | None:
    """Tell one transcript from another by its hash, or say that it cannot be read."""
    try:
        words = None if path is None else read_whole(path, most=MAX_BYTES)
    except InputError:
        words = None
    return _mark(words, named=path is not None)


def _mark(words: bytes | None, *, named: bool) -> str | None:
    if words is not None:
        return hashlib.sha256(words).hexdigest()
    return UNREADABLE if named else None


def sizes(tasks: Sequence[Task]) -> int:
    """Bytes of all files, for the progress."""
    return sum(_size(t) for t in tasks)


def _size(task: Task) -> int:
    try:
        return facts(task.path, within=task.within).size_bytes
    except InputError:
        return 0
