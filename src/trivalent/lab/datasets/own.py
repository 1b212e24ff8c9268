"""Your own data: a CSV `path,label[,speaker,video,split,transcript]` over recordings.

Paths are relative to the CSV. A label is negative, neutral or positive, or a score from -3 to 3.
Without a column `split`, the samples are split by speaker (or video, or each on its own), with
the shares of the classes kept; see `trivalent.lab.datasets.splits`. Features are those that the
experts of a bundle take, extracted as in an analysis and cached.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.loading import ExpertSpec, load_bundle
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FeatureTable, LabelMap, Modality, Status, map_scores
from trivalent.lab.datasets.dataset import SPLITS, Dataset, Features
from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.feature_cache import Cached, FeatureCache
from trivalent.lab.datasets.own_table import OwnRow, OwnTable, check_parts, read_own_table
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.recordings import (
    Extraction,
    needed,
    pooled,
    pooled_names,
    spoken_text,
    words,
)
from trivalent.lab.datasets.splits import FRACTIONS, stratified_split

log = logging.getLogger(__name__)
CLASSES = Protocol("classes", "the annotated classes")
SCORES = (
    Protocol("sign", "scores below, at and above 0", LabelMap.SIGN),
    Protocol(
        "round", "scores rounded to integers (ties to even), then below, at and above 0", LabelMap.ROUND
    ),
)
ABSENT = "recordings that are not there"
UNDECODABLE = "recordings that cannot be decoded"
REPEATED = "recordings with the same content as an earlier one"
_TOLD = 5  # recordings left out that are named


@dataclass(frozen=True)
class OwnOptions:
    """How your own data are split and their features extracted.

    Attributes
    ----------
    seed, fractions
        Of the split, where the table has none: shares of the samples for train, val, test.
    workers : int
        Processes that extract features.
    recognize : str, optional
        Whisper size that writes down what is said where no transcript is given.
    bundle : str or Path
        Whose experts the features are for.
    cache : Path, optional
        Folder of the tables; below $TRIVALENT_CACHE by default.
    retry : bool
        Try extractions that failed before again.

    Raises
    ------
    UsageError
        Fewer than one worker.
    """

    seed: int = 0
    fractions: tuple[float, float, float] = FRACTIONS
    workers: int = 1
    recognize: str | None = None
    bundle: str | Path = "default"
    cache: Path | None = None
    retry: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError("dataset.cache_workers", workers=self.workers)


def own_entry(path: Path, options: OwnOptions | None = None) -> Entry:
    """Make an entry of the registry from your CSV.

    Parameters
    ----------
    path : Path
    options : OwnOptions, optional

    Returns
    -------
    Entry
        Its protocol is `classes` for named labels, `sign` (default) or `round` for scores. The
        root given to `load` and `read` is not used.

    Raises
    ------
    DataError
        The table is faulty; see `trivalent.lab.datasets.own_table.read_own_table`.

    Examples
    --------
    >>> own_entry(Path("my.csv")).read(Path(), features=False)  # doctest: +SKIP
    """
    table = read_own_table(path)
    load = partial(_load, path=path, options=options or OwnOptions())
    return Entry(
        path.name,
        f"your own data: {len(table.rows):,} recordings",
        "yours",
        "",
        SCORES if table.scored else (CLASSES,),
        load,
    )


def _load(root: Path, protocol: Protocol, features: bool, *, path: Path, options: OwnOptions) -> Dataset:
    del root  # the paths are relative to the table
    table = read_own_table(path)  # anew: it may have been edited since the entry was made
    if table.scored != (protocol.label_map is not None):
        raise DataError("own.changed", name=path.name)
    data = _bare(table, protocol, options)
    usable = np.array([row.media.is_file() for row in table.rows])
    left_out = [(row, "no such file") for row, there in zip(table.rows, usable, strict=True) if not there]
    dropped = Counter({ABSENT: len(left_out)})
    if features and usable.any():
        rows = [row for row, there in zip(table.rows, usable, strict=True) if there]
        data, counts, more = _with_features(data.take(usable), rows, options)
        dropped.update(counts)
        left_out += more
    else:
        data = data.take(usable)
    _tell(table, left_out, rest=len(data))
    without = f"{path.name} without {len(table.rows) - len(data)} unusable recordings"
    parts: tuple[str, ...] = SPLITS
    if table.split is None:
        parts = tuple(part for part, share in zip(SPLITS, options.fractions, strict=True) if share > 0)
    check_parts(data.split, without, remedy="mend or remove those lines, or add recordings", parts=parts)
    return replace(data, dropped=dict(+dropped))


def _bare(table: OwnTable, protocol: Protocol, options: OwnOptions) -> Dataset:
    """Everything that the table itself says."""
    count, values, groups, texts = len(table.rows), table.labels, table.groups, table.texts()
    # All protocols share the split, so that a test sample of one trains no other.
    strata = map_scores(values, LabelMap.SIGN) if table.scored else values.astype(np.int64)
    split = table.split
    if split is None:
        parts = stratified_split(groups, strata, seed=options.seed, fractions=options.fractions)
        split = parts.names(count)
    return Dataset(
        table.path.name,
        protocol.name,
        np.array([row.name for row in table.rows]),
        groups,
        split,
        strata if protocol.label_map is None else map_scores(values, protocol.label_map),
        values if table.scored else np.full(count, np.nan),
        np.full(count, np.nan),
        texts=None if texts is None else tuple(texts),
    )


def _with_features(
    data: Dataset, rows: Sequence[OwnRow], options: OwnOptions
) -> tuple[Dataset, dict[str, int], list[tuple[OwnRow, str]]]:
    """Add features, durations and recognised words; leave out what has none.

    Returns
    -------
    data, counts by reason, (row, reason) of each recording left out
    """
    experts = {m: e.spec for m, e in load_bundle(options.bundle).experts.items() if pooled_names(e.spec)}
    wanted: dict[Modality, Extraction] = {m: needed(spec) for m, spec in experts.items()}
    if options.recognize is not None:
        wanted[Modality.TEXT] = words(options.recognize)
    cache = FeatureCache(options.cache)
    cached = cache.extract(
        [row.media for row in rows], list(wanted.values()), workers=options.workers, retry=options.retry
    )
    collected = _Collected(cache, wanted, experts)
    keep = np.array([collected.add(item) for item in cached])
    left_out = [(row, collected.reasons[i]) for i, row in enumerate(rows) if not keep[i]]
    blocks = collected.blocks()
    fields: dict[str, Any] = {"seconds": np.array(collected.seconds), "features": blocks}
    if Modality.TEXT in wanted:
        given = data.texts or [""] * len(rows)
        fields["texts"] = tuple(g or heard for g, heard in zip(given, collected.texts, strict=True))
    return replace(data, **fields).take(keep), collected.counts, left_out


class _Collected:
    """What the cache holds, one recording after the other."""

    def __init__(
        self, cache: FeatureCache, wanted: dict[Modality, Extraction], experts: dict[Modality, ExpertSpec]
    ) -> None:
        self.cache, self.wanted, self.experts = cache, wanted, experts
        self.values: dict[Modality, list[NDArray[np.float64]]] = {m: [] for m in experts}
        self.seconds: list[float] = []
        self.texts: list[str] = []
        self.reasons: list[str] = []
        self.counts = {ABSENT: 0, UNDECODABLE: 0, REPEATED: 0}
        self._seen: dict[str, str] = {}

    def add(self, cached: Cached) -> bool:
        """Take one recording; returns whether it can be used."""
        tables: dict[Modality, FeatureTable] = {}
        if cached.sha256 is not None:
            found = {m: self.cache.read(cached.sha256, e) for m, e in self.wanted.items()}
            tables = {m: t for m, t in found.items() if t is not None and t.status is not Status.FAILED}
            failed = [t.reason for t in found.values() if t is not None and t.status is Status.FAILED]
        reason = ""
        if cached.sha256 is None:
            reason = cached.reason or "it cannot be read"
            self.counts[ABSENT] += 1
        elif not tables:
            reason = (failed[0] if failed else None) or "its tables have vanished from the cache"
            self.counts[UNDECODABLE] += 1
        elif cached.sha256 in self._seen:
            reason = f"the same content as {self._seen[cached.sha256]}"
            self.counts[REPEATED] += 1
        else:
            self._seen[cached.sha256] = cached.path.name
        self._append(tables)
        self.reasons.append(reason)
        return not reason

    def _append(self, tables: dict[Modality, FeatureTable]) -> None:
        for modality, spec in self.experts.items():
            nothing = np.full(len(pooled_names(spec)), np.nan)
            self.values[modality].append(pooled(tables[modality], spec) if modality in tables else nothing)
        lengths = [table.meta["recording_s"] for table in tables.values()]
        self.seconds.append(lengths[0] if lengths else np.nan)
        self.texts.append(spoken_text(tables[Modality.TEXT]) if Modality.TEXT in tables else "")

    def blocks(self) -> dict[Modality, Features]:
        """Return the features of the modalities that any recording has."""
        blocks = {
            m: Features(spec.extractor, pooled_names(spec), np.array(self.values[m], dtype=np.float32))
            for m, spec in self.experts.items()
        }
        return {m: block for m, block in blocks.items() if block.present.any()}


def _tell(table: OwnTable, left_out: Sequence[tuple[OwnRow, str]], *, rest: int) -> None:
    """Name recordings that are left out.

    Raises
    ------
    DataError
        That is all of them.
    """
    told = [f"line {row.line}, {row.name}: {reason}" for row, reason in left_out[:_TOLD]]
    if not rest:
        raise DataError("own.none_decoded", name=table.path.name, count=len(table.rows), told=told[0])
    for line in told:
        log.warning("%s left out: %s", table.path.name, line)
    if len(left_out) > _TOLD:
        log.warning("%s left out: %d more recordings", table.path.name, len(left_out) - _TOLD)


__all__ = ["ABSENT", "CLASSES", "REPEATED", "SCORES", "UNDECODABLE", "OwnOptions", "own_entry"]
