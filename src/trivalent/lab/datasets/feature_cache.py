"""Features of recordings, extracted once: a folder of tables addressed by their content.

The address of a table is a hash of the recording's bytes and of everything that the result
depends on (`Extraction`), so that a renamed file is found again and a changed one is not
mistaken. Each table is written whole or not at all; a run that was killed goes on where it was.
Several processes and machines may share a folder: a lock saves them from doing the same work,
and without it the last of equal results stays.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError, FeatureError, InputError, UsageError
from trivalent.core.types import FeatureTable, Status
from trivalent.features.tables import read_table, write_table
from trivalent.lab.datasets.locks import locked
from trivalent.lab.datasets.recordings import Extraction, LazyRecording
from trivalent.lab.progress import track

log = logging.getLogger(__name__)
_ABANDONED_S = 86400.0  # a temporary file this old is of a process that was killed
_DIED = "the extraction ended its process: a crash, or too little memory"
# What a recording can cause. Errors of the installation (AssetError, MemoryError) stop the run.
_EXPECTED = (InputError, FeatureError)
_UNEXPECTED = (ValueError, ArithmeticError, LookupError, RuntimeError)
_Job = tuple[Path, Sequence[Extraction]]


@dataclass(frozen=True)
class Cached:
    """A recording whose tables are in the cache.

    Attributes
    ----------
    path : Path
    sha256 : str, optional
        Of its bytes; None if the file cannot be read.
    reason : str, optional
        Why not.
    """

    path: Path
    sha256: str | None
    reason: str | None = None


class FeatureCache:
    """Tables of features in a folder.

    Parameters
    ----------
    folder : Path, optional
        By default in the user's cache folder ($TRIVALENT_CACHE).

    Examples
    --------
    >>> from trivalent.lab.datasets.own_features import OwnFeatures
    >>> wanted = OwnFeatures().plan().extractions()  # doctest: +SKIP
    >>> (done,) = FeatureCache().extract({Path("a.mp4"): list(wanted.values())})  # doctest: +SKIP
    >>> FeatureCache().read(done.sha256, wanted[Modality.TEXT]).values.shape  # doctest: +SKIP
    (1, 384)
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "features" / "recordings"

    def path(self, sha256: str, extraction: Extraction) -> Path:
        """Return where a table lies or would lie."""
        key = extraction.key(sha256)
        return self.folder / extraction.encoder.extractor / key[:2] / f"{key}.npz"

    def read(self, sha256: str, extraction: Extraction) -> FeatureTable | None:
        """Read a table; None if there is none, or only a damaged one.

        A failed extraction is a table without rows, with status `failed` and the reason.
        """
        try:
            return read_table(self.path(sha256, extraction))
        except FeatureError:
            return None

    def extract(
        self,
        wanted: Mapping[Path, Sequence[Extraction]],
        *,
        workers: int = 1,
        retry: bool = False,
    ) -> list[Cached]:
        """Compute what is not there yet, with progress on stderr.

        Parameters
        ----------
        wanted : mapping of Path to sequence of Extraction
            What of which recording.
        workers : int
            Processes; each has one recording in memory at a time and uses one core. With more
            than one, a script must guard its entry by `if __name__ == "__main__"`.
        retry : bool
            Try failed extractions again.

        Returns
        -------
        list of Cached
            In the order of `wanted`.

        Raises
        ------
        UsageError
            Fewer than one worker.
        DataError
            Worker processes cannot be started.
        AssetError
            A model file is absent or damaged.
        """
        if workers < 1:
            raise UsageError("dataset.cache_workers", workers=workers)
        self._tidy()
        jobs = list(wanted.items())
        results = (
            (self.fill(path, extractions, retry=retry) for path, extractions in jobs)
            if workers == 1
            else self._parallel(jobs, workers, retry=retry)
        )
        done = {cached.path: cached for cached in track(results, "extracting features", total=len(jobs))}
        return [done[path] for path in wanted]

    def fill(self, path: Path, extractions: Sequence[Extraction], *, retry: bool = False) -> Cached:
        """Compute the tables of one recording that are not there yet, in this process."""
        try:
            before, digest = _state(path), _sha256(path)
        except (OSError, ValueError) as error:
            return Cached(path, None, getattr(error, "strerror", None) or str(error))
        source = LazyRecording(path)
        for extraction in extractions:
            if self._settled(digest, extraction, retry):
                continue
            target = self.path(digest, extraction)
            target.parent.mkdir(parents=True, exist_ok=True)
            with locked(target.with_suffix(".lock")):
                if self._settled(digest, extraction, retry):  # by whoever had the lock before
                    continue
                table = _attempt(source, extraction)
                if _state(path) != before:
                    return Cached(path, None, "the file changed while it was read")
                write_table(table, target)
        return Cached(path, digest)

    def _settled(self, sha256: str, extraction: Extraction, retry: bool) -> bool:
        table = self.read(sha256, extraction)
        return table is not None and not (retry and table.status is Status.FAILED)

    def _parallel(self, jobs: Sequence[_Job], workers: int, *, retry: bool) -> Iterator[Cached]:
        """Yield in the order of completion; a recording that kills its process is found and told."""
        todo = list(jobs)
        while todo:
            finished: set[Path] = set()
            try:
                with _Pool(min(workers, len(todo))) as pool:
                    running = [pool.submit(self.fill, *job, retry=retry) for job in todo]
                    for future in as_completed(running):
                        cached = future.result()
                        finished.add(cached.path)
                        yield cached
                return
            except BrokenProcessPool:
                rest = [job for job in todo if job[0] not in finished]
            # The pool works in order and fetches no further ahead than this.
            suspects, todo = rest[: 2 * workers + 1], rest[2 * workers + 1 :]
            for path, extractions in suspects:
                yield self._alone(path, extractions, retry=retry)

    def _alone(self, path: Path, extractions: Sequence[Extraction], *, retry: bool) -> Cached:
        try:
            with _Pool(1) as pool:
                return pool.submit(self.fill, path, extractions, retry=retry).result()
        except BrokenProcessPool:
            log.warning("%s: %s", path, _DIED)
            digest = _sha256(path)
            for extraction in extractions:
                if not self._settled(digest, extraction, retry=False):
                    target = self.path(digest, extraction)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_table(_failed(extraction, _DIED), target)
            return Cached(path, digest)

    def _tidy(self) -> None:
        """Remove what killed processes have left."""
        for left in self.folder.glob("*/*/.trivalent-*.tmp"):
            try:
                if time.time() - left.stat().st_mtime > _ABANDONED_S:
                    left.unlink()
            except OSError:  # someone else has just done so
                continue


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None if the file has gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _attempt(source: LazyRecording, extraction: Extraction) -> FeatureTable:
    try:
        return source.extract(extraction)
    except _EXPECTED as error:
        return _failed(extraction, str(error))
    except _UNEXPECTED as error:
        log.warning("%s: %s failed", source.path, extraction.encoder.extractor, exc_info=True)
        return _failed(extraction, f"unexpected {type(error).__name__}: {error}")


def _failed(extraction: Extraction, reason: str) -> FeatureTable:
    spec = extraction.encoder
    return FeatureTable.absent(
        spec.extractor, spec.version, columns=(), reason=reason, status=Status.FAILED
    )


class _Pool(ProcessPoolExecutor):
    """Fresh processes (not forked: the decoders and models have threads), each on one core."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, multiprocessing.get_context("spawn"))
        try:
            self.submit(int).result()
        except BrokenProcessPool as error:
            raise DataError("dataset.cache_start") from error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        # After an error or Ctrl-C, what has not begun is not begun.
        self.shutdown(cancel_futures=error is not None)


__all__ = ["Cached", "FeatureCache"]
