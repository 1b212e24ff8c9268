"""Folders of thousands: every file once, whatever happens in between.

The outcome of each file is one small JSON document in `OUT/work`, written at once when the file is
done; it is all that a later run needs to go on. The tables are put together from these documents.

>>> sorted(SUFFIXES)[:4]
['.3gp', '.aac', '.avi', '.flac']
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trivalent import __version__
from trivalent.analyzer import TEXT_SUFFIXES, Analyzer
from trivalent.bundle import load_bundle
from trivalent.errors import InputError, TrivalentError, UsageError
from trivalent.files import write_text_atomic
from trivalent.isolated import AnalyzerOptions, Isolated, Limits

SCHEMA = "trivalent.batch/1"
SUFFIXES = TEXT_SUFFIXES | {
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".m4v", ".ts", ".mpg", ".mpeg", ".wmv", ".3gp",
    ".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".wma",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One file to analyse, and where its outcome goes."""

    path: Path
    shown: str
    record: Path
    options: AnalyzerOptions
    limits: Limits
    transcript: Path | None = None


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
    ignored : int
        Files of the folder that are neither recordings nor texts.
    """

    tasks: tuple[Task, ...]
    records: tuple[Path, ...]
    finished: int
    ignored: int = 0


@dataclass
class Sources:
    """Files with the names to show, and transcripts of some."""

    paths: list[Path] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    transcripts: dict[Path, Path] = field(default_factory=dict)
    ignored: int = 0


def find_sources(source: Path) -> Sources:
    """List the recordings and texts of a folder, or those that a .csv names.

    A list has a column `path`, and may have `transcript`; both are relative to the list itself.

    Raises
    ------
    InputError
        Nothing is there, or the list has no such column.
    """
    found = _listed(source) if source.suffix.lower() == ".csv" else _walked(source)
    if not found.paths:
        raise InputError(f"expected recordings or texts in {source}, found none; check the folder or list")
    return found


def _walked(folder: Path) -> Sources:
    if not folder.is_dir():
        raise InputError(f"expected a folder or a .csv list, got {folder}; check the path")
    found = Sources()
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                found.ignored += 1
                continue
            found.paths.append(path)
            found.shown.append(path.relative_to(folder).as_posix())
    return found


def _listed(path: Path) -> Sources:
    found = Sources()
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "path" not in (reader.fieldnames or ()):
                raise InputError(
                    f"expected a column 'path' in {path}, got {', '.join(reader.fieldnames or ['none'])}"
                )
            for row in reader:
                if not (row["path"] or "").strip():
                    continue
                file = path.parent / row["path"]
                found.paths.append(file)
                found.shown.append(row["path"])
                if row.get("transcript"):
                    found.transcripts[file] = path.parent / row["transcript"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a readable list in UTF-8, got {path}: {error}") from error
    return found


def check_options(options: AnalyzerOptions) -> None:
    """Find a wrong option once, not in every file.

    Raises
    ------
    TrivalentError
        As `Analyzer` raises them.
    """
    Analyzer(**options.to_dict())


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
        known = read_record(record)
        if known is not None and _is_current(known, path, manifest["digest"], retry_failed):
            continue
        tasks.append(Task(path, shown, record, options, limits, sources.transcripts.get(path)))
    write_text_atomic(out / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    return Plan(tuple(tasks), tuple(records), len(records) - len(tasks), sources.ignored)


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
        raise UsageError(f"expected the manifest of an earlier run in {path}, got {error}") from error
    if earlier.get("digest") == manifest["digest"]:
        return
    changed = [k for k in ("trivalent", "model", "options") if _plain(manifest[k]) != earlier.get(k)]
    raise UsageError(
        f"expected the {' and '.join(changed) or 'settings'} of the earlier run in {out}, got others; "
        "choose another folder, or --restart to analyse everything again"
    )


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _is_current(record: Mapping[str, Any], path: Path, digest: str, retry_failed: bool) -> bool:
    """Tell whether an outcome still speaks of this file: same settings, and the same content."""
    if record["digest"] != digest or (retry_failed and record["status"] == "failed"):
        return False
    try:
        facts = path.stat()
    except OSError:
        return record["size_bytes"] == 0  # it was absent then, too
    if facts.st_size != record["size_bytes"]:
        return False
    return facts.st_mtime_ns == record["mtime_ns"] or _sha256(path) == record["sha256"]


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
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None


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
        raise TrivalentError(
            f"expected a folder that can be written, got {out}: {error.strerror}; choose another with -o"
        ) from error
    with lock:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: documents are still written at once
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"expected a folder without a run at work, got {out}; wait for it, or choose another"
            ) from error
        yield


_analyzers: dict[Limits, Isolated] = {}


def analyze_task(task: Task) -> Outcome:
    """Analyse one file in this worker's child process and write its outcome down.

    Raises
    ------
    TrivalentError
        The outcome cannot be written: nothing more can be finished.
    """
    started = time.monotonic()
    facts = _facts(task.path)
    analyzer = _analyzers.setdefault(task.limits, Isolated(task.limits))
    analysis, reason = None, None
    try:
        transcript = None
        if task.transcript is not None:
            transcript = _read_transcript(task.transcript)
        analysis = analyzer.analyze(task.path, name=task.shown, options=task.options, transcript=transcript)
    except TrivalentError as error:
        reason = str(error)
    seconds = time.monotonic() - started
    status = "failed" if analysis is None else "done"
    record = {
        "schema": SCHEMA,
        "digest": _digest(task.options),
        "file": task.shown,
        **facts,
        "status": status,
        "reason": reason,
        "seconds": round(seconds, 3),
        "analysis": None if analysis is None else analysis.to_dict(),
    }
    task.record.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(task.record, json.dumps(record) + "\n")
    return Outcome(task.shown, status, reason, facts["size_bytes"], seconds)


_digests: dict[AnalyzerOptions, str] = {}


def _digest(options: AnalyzerOptions) -> str:
    if options not in _digests:
        _digests[options] = _manifest(options)["digest"]
    return _digests[options]


def _read_transcript(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected a transcript in UTF-8, got {path}: {error}; check the list") from error


def _facts(path: Path) -> dict[str, Any]:
    """Size, time and content hash; zeros for a file that is not there."""
    try:
        facts = path.stat()
        return {"size_bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": _sha256(path)}
    except OSError:
        return {"size_bytes": 0, "mtime_ns": 0, "sha256": None}


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def sizes(tasks: Sequence[Task]) -> int:
    """Bytes of all files, for the progress."""
    return sum(_size(t.path) for t in tasks)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
