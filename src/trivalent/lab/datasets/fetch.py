"""Get the official files of a data set: from their addresses, resumed, verified, then named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trivalent.core.errors import DataError, UnreachableError, UsageError
from trivalent.core.locks import is_still, lock_now
from trivalent.lab.datasets.download import Patience, discard, download, require_room
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.verify import verify_file
from trivalent.lab.progress import transfer


class FetchOutcome(StrEnum):
    """What became of a file."""

    PRESENT = "present"  # it was there, and is what it should be
    FETCHED = "fetched"
    FAILED = "failed"


@dataclass(frozen=True)
class Fetched:
    """One official file after `fetch`.

    Attributes
    ----------
    path : Path
        Where it lies, or belongs.
    outcome : FetchOutcome
    note : str
        Size, or why it failed.
    """

    path: Path
    outcome: FetchOutcome
    note: str


class _NoAddressError(DataError):
    """No address of a file gave it: the owners' remedy applies."""


def fetch(
    entry: Entry,
    root: Path,
    *,
    names: Sequence[str] = (),
    patience: Patience | None = None,
    tell: Callable[[Fetched], None] = lambda done: None,
) -> list[Fetched]:
    """Fetch the official files that are not there yet.

    A file that is there and is what it should be is left alone. One that is damaged, or that calls
    itself synthetic, is replaced once the official one has come and been verified. What an
    interrupted run has got is kept and continued by the next.

    Parameters
    ----------
    entry : Entry
    root : Path
        Data root; made if need be.
    names : sequence of str
        Only these files, by path below the root or by name; all by default.
    patience : Patience, optional
    tell : callable
        Told of each file as soon as it is done.

    Raises
    ------
    UsageError
        There is no such file in the entry.
    DataError
        Some could not be fetched; the message has each with the reason of each of its addresses,
        and what to do. The others have been fetched.
    """
    done: list[Fetched] = []
    failures: list[DataError] = []
    silent: dict[str, str] = {}
    for official in _chosen(entry, names):
        path = root.absolute() / official.path
        try:
            result = _fetch(official, path, patience=patience or Patience(), silent=silent)
        except DataError as error:
            failures.append(error)
            result = Fetched(path, FetchOutcome.FAILED, str(error))
        done.append(result)
        tell(result)
    if failures:
        raise DataError(_message(entry, root.absolute(), done=done, failures=failures))
    return done


def _chosen(entry: Entry, names: Sequence[str]) -> list[OfficialFile]:
    if not entry.files:
        remedy = entry.remedy or f"see {entry.homepage}"
        raise DataError("fetch.none_public", name=entry.name, remedy=remedy)
    unknown = [n for n in names if not any(n in (f.path, Path(f.path).name) for f in entry.files)]
    if unknown:
        known = ", ".join(f.path for f in entry.files)
        raise UsageError("fetch.unknown_file", name=entry.name, known=known, unknown=unknown[0])
    return [f for f in entry.files if not names or f.path in names or Path(f.path).name in names]


def _message(entry: Entry, root: Path, *, done: list[Fetched], failures: list[DataError]) -> str:
    reasons = [f"{d.path}: {d.note}" for d in done if d.outcome is FetchOutcome.FAILED]
    steps = [f"verify with: trivalent data check {entry.name} --root {root}"]
    if any(isinstance(error, _NoAddressError) for error in failures):
        steps = [entry.remedy or f"see {entry.homepage}", "put each where it is named here", *steps]
    return (
        f"expected {len(done)} official file{'s' * (len(done) > 1)} of {entry.name}, got "
        f"{len(done) - len(reasons)}. {'; '.join(reasons)}. What to do: {'; '.join(steps)}"
    )


def _fetch(official: OfficialFile, path: Path, *, patience: Patience, silent: dict[str, str]) -> Fetched:
    """Fetch one file unless it is there; `silent` holds the servers that do not answer, and why."""
    if not official.urls and not path.exists():
        raise _NoAddressError("fetch.no_public_address")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if (note := _present(official, path)) is not None:
                return Fetched(path, FetchOutcome.PRESENT, note)
            note = _told(_get(official, path, patience=patience, silent=silent))
    except OSError as error:
        raise DataError("fetch.write", reason=error.strerror or error) from error
    return Fetched(path, FetchOutcome.FETCHED, note)


def _present(official: OfficialFile, path: Path) -> str | None:
    """Say what is there; None if it has to be fetched."""
    if not path.exists():
        return None
    try:
        found = verify_file(path, official)
    except DataError as error:
        if not official.urls:
            raise _NoAddressError("fetch.wrong_there", error=error) from error
        return None
    if found.get("synthetic"):
        return None if official.urls else "synthetic"
    return _told(found)


def _told(found: Mapping[str, Any]) -> str:
    unopened = f", not opened: {found['unopened']}" if "unopened" in found else ""
    return f"{found['bytes']:,} bytes{unopened}"


def _get(
    official: OfficialFile, path: Path, *, patience: Patience, silent: dict[str, str]
) -> Mapping[str, Any]:
    part = path.with_name(f".{path.name}.part")
    if official.size is not None:
        require_room(path.parent, official.size - (part.stat().st_size if part.exists() else 0))
    reasons = []
    for url in official.urls:
        server = urlsplit(url).netloc
        if server in silent:
            reasons.append(f"{url}: {silent[server]}")
            continue
        try:
            found = _from_address(url, official, part, patience=patience)
        except UnreachableError as error:
            silent[server] = str(error)
            reasons.append(f"{url}: {error}")
        except DataError as error:
            reasons.append(f"{url}: {error}")
        else:
            part.replace(path)
            discard(part)
            return found
    raise _NoAddressError("fetch.no_address_gave", reasons=list(reasons))


def _from_address(url: str, official: OfficialFile, part: Path, *, patience: Patience) -> Mapping[str, Any]:
    """Download and verify; what was continued and turns out wrong is fetched once more from the start."""
    continued = part.exists()
    while True:
        with transfer(Path(official.path).name) as tell:
            checked = official.sha256 is not None
            download(url, part, size=official.size, checked=checked, patience=patience, tell=tell)
        try:
            return verify_file(part, official)
        except DataError:
            discard(part)
            if not continued:
                raise
            continued = False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file; the system frees it when the process ends, however it ends.

    Raises
    ------
    DataError
        Another process holds it.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        stream = lock.open("a+")
        stream.seek(1 << 30)  # Windows locks bytes: far behind the holder's number, which others may read
        free = False
        with suppress(OSError):  # a file system without locks
            free = lock_now(stream.fileno())
        if not free:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            stream.close()
            raise DataError("fetch.other_process", holder=holder)
        if is_still(stream.fileno(), lock):
            break
        stream.close()  # its last holder removed it between our opening and locking: take the new one
    try:
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
    finally:
        if sys.platform != "win32":  # there an open file cannot be removed
            lock.unlink(missing_ok=True)
        stream.close()
