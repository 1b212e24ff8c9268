"""Your own data: a CSV `path,label[,score,speaker,video,split,transcript]` over recordings.

Paths are relative to the CSV. A label is negative, neutral or positive, or a score from -3 to 3; with
scores, in that column or in one of their own, a protocol says how they become classes.
Without a column `split`, the samples are split by speaker (or video, or each on its own), with the shares
of the classes kept; see `trivalent.lab.datasets.splits`. Features are those that an analysis sees
(`trivalent.lab.datasets.recordings`), and are cached.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import LABELS, LabelMap, Modality, Status, map_scores
from trivalent.lab.datasets.dataset import SPLITS, Dataset, Features, stacked
from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.feature_cache import Cached, FeatureCache
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.own_table import OwnRow, OwnTable, check_parts, read_own_table
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.recordings import Cut, Extracted, Extraction, FeaturePlan
from trivalent.lab.datasets.splits import FRACTIONS, stratified_split
from trivalent.speech.transcripts import Transcript

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
NOTHING = "samples that have nothing of what is used"
TEST_ALONE = (0.0, 0.0, 1.0)  # of a table that a finished model is judged on
TRAIN_ALONE = (1.0, 0.0, 0.0)  # of one that is cross-validated
_GONE = "no table in the cache"
_TOLD = 5  # recordings left out that are named


@dataclass(frozen=True)
class OwnOptions:
    """How your own data are split and their features extracted.

    Attributes
    ----------
    seed, fractions
        Of the split, where the table has none: shares of the samples for train, val, test.
    label_map : mapping of str to str
        What your labels mean: each to negative, neutral or positive.
    plan : FeaturePlan, optional
        That of `OwnFeatures` by default.
    workers : int
        Processes that extract features.
    cache : Path, optional
        Folder of the tables; below $TRIVALENT_CACHE by default.
    retry : bool
        Try extractions that failed before again.
    folds : int
        In which the samples will be dealt by group: with fewer speakers they are grouped as when there are
        too few for a split.
    check : callable, optional
        Is given the samples before their features are extracted, which may take hours; may raise.

    Raises
    ------
    UsageError
        Fewer than one worker, or a label is mapped to what is no class.
    """

    seed: int = 0
    fractions: tuple[float, float, float] = FRACTIONS
    label_map: Mapping[str, str] = field(default_factory=dict)
    plan: FeaturePlan | None = None
    workers: int = 1
    cache: Path | None = None
    retry: bool = False
    folds: int = 0
    check: Callable[[Dataset], object] | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError("dataset.cache_workers", workers=self.workers)
        for label, meant in self.label_map.items():
            if meant not in LABELS:
                raise UsageError("own.label_map", label=label, meant=meant, labels=list(LABELS))

    def table(self, path: Path) -> OwnTable:
        """Read and check the table; see `read_own_table`."""
        return read_own_table(path, {str(label).lower(): str(m) for label, m in self.label_map.items()})


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
    options = options or OwnOptions()
    table = options.table(path)
    return Entry(
        path.name,
        f"your own data: {len(table.rows):,} recordings",
        "yours",
        "",
        SCORES if table.scored else (CLASSES,),
        partial(_load, path=path, options=options),
    )


def _load(root: Path, protocol: Protocol, features: bool, *, path: Path, options: OwnOptions) -> Dataset:
    del root  # the paths are relative to the table
    table = options.table(path)  # anew: it may have been edited since the entry was made
    if table.scored != (protocol.label_map is not None):
        raise DataError("own.changed", name=path.name)
    if protocol.label_map is not None:
        table.check_classes(protocol.label_map)
    transcripts = table.transcripts()
    data = _bare(table, protocol, options, transcripts)
    usable = np.flatnonzero([row.media.is_file() for row in table.rows])
    left_out = [(row, "no such file") for i, row in enumerate(table.rows) if i not in set(usable.tolist())]
    dropped = Counter({ABSENT: len(left_out)})
    if options.check is not None and len(usable):
        options.check(data.take(usable))
    if features and len(usable):
        takes = [_Take(table.rows[i], transcripts[i]) for i in usable]
        data, counts, more = _with_features(data.take(usable), takes, options)
        dropped.update(counts)
        left_out += more
    else:
        data = data.take(usable)
    if not len(data):
        code = "own.none_used" if dropped[NOTHING] == len(left_out) else "own.none_decoded"
        raise DataError(code, name=path.name, count=len(table.rows), told=_told(left_out)[0])
    _tell(table, left_out)
    without = f"{path.name} without {len(left_out)} unusable recordings"
    parts: tuple[str, ...] = SPLITS
    if table.split is None:
        parts = tuple(part for part, share in zip(SPLITS, options.fractions, strict=True) if share > 0)
    check_parts(data.split, without, remedy="mend or remove those lines, or add recordings", parts=parts)
    return replace(data, dropped=dict(+dropped))


def _bare(
    table: OwnTable,
    protocol: Protocol,
    options: OwnOptions,
    transcripts: Sequence[Transcript | None],
) -> Dataset:
    """Everything that the table itself says."""
    count, values = len(table.rows), table.labels
    # All protocols share the split, so that a test sample of one trains no other.
    strata = map_scores(values, LabelMap.SIGN) if table.scored else values.astype(np.int64)
    groups, split = table.groups, table.split
    if split is None:
        parts_made = sum(share > 0 for share in options.fractions)
        groups = _groups(table, parts=max(parts_made, options.folds))
        parts = stratified_split(groups, strata, seed=options.seed, fractions=options.fractions)
        split = parts.names(count)
    given = "transcript" in table.columns
    return Dataset(
        table.path.name,
        protocol.name,
        np.array([row.name for row in table.rows]),
        groups,
        split,
        strata if protocol.label_map is None else map_scores(values, protocol.label_map),
        values if table.scored else np.full(count, np.nan),
        np.full(count, np.nan),
        texts=tuple("" if t is None else t.text for t in transcripts) if given else None,
    )


def _groups(table: OwnTable, *, parts: int) -> NDArray[np.str_]:
    """Return what is kept in one part: of too few speakers, the videos or recordings instead."""
    groups = table.groups
    speakers = len(np.unique(groups))
    if speakers >= parts or "speaker" not in table.columns or len(np.unique(table.videos)) < parts:
        return groups
    log.warning(
        "%s: too few speakers (%d) for %d parts: split by %s instead; the figures hold for these people, "
        "not for others",
        table.path.name,
        speakers,
        parts,
        "video" if "video" in table.columns else "recording",
    )
    return table.videos


@dataclass(frozen=True)
class _Take:
    """A recording that is there, and what was said in it."""

    row: OwnRow
    transcript: Transcript | None


def _with_features(
    data: Dataset, takes: Sequence[_Take], options: OwnOptions
) -> tuple[Dataset, dict[str, int], list[tuple[OwnRow, str]]]:
    """Make the samples of the recordings, with features and words; leave out what has none.

    Returns
    -------
    data, counts by reason, (row, reason) of each recording left out
    """
    plan = options.plan or OwnFeatures().plan()
    wanted = {take.row.media: plan.extractions(take.transcript) for take in takes}
    cache = FeatureCache(options.cache)
    cached = cache.extract(
        {path: list(own.values()) for path, own in wanted.items()},
        workers=options.workers,
        retry=options.retry,
    )
    collected = _Collected(cache, plan)
    reasons = [collected.add(done, wanted[done.path]) for done in cached]
    left_out = [(take.row, reason) for take, reason in zip(takes, reasons, strict=True) if reason]
    return collected.dataset(data), collected.counts, left_out


class _Collected:
    """What the cache holds, one recording after the other."""

    def __init__(self, cache: FeatureCache, plan: FeaturePlan) -> None:
        self.cache, self.plan = cache, plan
        self.counts = {ABSENT: 0, UNDECODABLE: 0, REPEATED: 0, NOTHING: 0}
        self.owners: list[int] = []  # position of each sample's recording
        self.samples: list[dict[Modality, tuple[NDArray[np.float64], str]]] = []
        self.spans: list[tuple[float, float]] = []
        self.texts: list[str] = []
        self._seconds: list[float] = []
        self._seen: dict[str, str] = {}
        self._count = 0

    def add(self, cached: Cached, wanted: Mapping[Modality, Extraction]) -> str:
        """Take the samples of one recording; returns why there are none."""
        self._count += 1
        if cached.sha256 is None:
            return self._without(ABSENT, cached.reason or "it cannot be read")
        found = {m: self.cache.read(cached.sha256, e) for m, e in wanted.items()}
        tables = {
            m: Extracted.of(t) for m, t in found.items() if t is not None and t.status is not Status.FAILED
        }
        failed = {m: str(t.reason) for m, t in found.items() if t is not None and m not in tables}
        if not tables:
            told = next(iter(failed.values()), "its tables have vanished from the cache")
            return self._without(UNDECODABLE, told)
        if len({len(table) for table in tables.values()}) > 1:
            return self._without(UNDECODABLE, "its utterances differ between modalities: clear the cache")
        if cached.sha256 in self._seen:
            return self._without(REPEATED, f"the same content as {self._seen[cached.sha256]}")
        self._seen[cached.sha256] = cached.path.name
        first = next(iter(tables.values()))
        kept = [self._sample(i, tables, failed) for i in range(len(first))]
        if not any(kept):
            lacking = [reason for table in tables.values() for reason in table.reasons if reason]
            alone = len(self.plan.encoders) == 1 and lacking
            return self._without(NOTHING, lacking[0] if alone else "neither words nor a voice nor a face")
        self.counts[NOTHING] += kept.count(False)
        return ""

    def _without(self, what: str, reason: str) -> str:
        self.counts[what] += 1
        return reason

    def _sample(self, i: int, tables: Mapping[Modality, Extracted], failed: Mapping[Modality, str]) -> bool:
        """Take one sample; returns whether it has anything."""
        own: dict[Modality, tuple[NDArray[np.float64], str]] = {}
        for m, encoder in self.plan.encoders.items():
            if m in tables:
                own[m] = (tables[m].values[i], tables[m].reasons[i])
            else:
                nothing = np.full(len(encoder.statistics), np.nan)
                own[m] = (nothing[None][:0] if encoder.steps else nothing, failed.get(m, _GONE))
        first = next(iter(tables.values()))
        if not any(np.isfinite(values).any() for values, _ in own.values()):
            return False
        self.owners.append(self._count - 1)
        self.samples.append(own)
        self.spans.append((first.starts[i], first.ends[i]))
        self.texts.append(first.texts[i])
        self._seconds.append(first.recording_s)
        return True

    def dataset(self, data: Dataset) -> Dataset:
        """Return the samples of a data set that has one for each recording."""
        rows = np.array(self.owners, dtype=np.intp)
        blocks = {
            m: Features(
                encoder.extractor,
                encoder.statistics,
                stacked([own[m][0] for own in self.samples], len(encoder.statistics)),
                tuple(own[m][1] for own in self.samples),
            )
            for m, encoder in self.plan.encoders.items()
        }
        parts = self.plan.cut is Cut.UTTERANCES
        spans = np.array(self.spans).reshape(-1, 2)
        kept: dict[str, Any] = {
            name: getattr(data, name)[rows] for name in ("ids", "groups", "split", "labels", "scores")
        }
        kept |= {"spans": spans, "ids": numbered(kept["ids"])} if parts else {}
        return replace(
            data,
            **kept,
            seconds=np.ptp(spans, axis=1) if parts else np.array(self._seconds),
            features={m: block for m, block in blocks.items() if block.present.any()},
            texts=tuple(self.texts) if any(self.texts) or data.texts is not None else None,
        )


def numbered(names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Give the parts of each recording numbers from 1.

    >>> numbered(np.array(["a", "a", "b"])).tolist()
    ['a#1', 'a#2', 'b#1']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for name in names.tolist():
        seen[name] += 1
        numbered.append(f"{name}#{seen[name]}")
    return np.array(numbered)


def _told(left_out: Sequence[tuple[OwnRow, str]]) -> list[str]:
    return [f"line {row.line}, {row.name}: {reason}" for row, reason in left_out[:_TOLD]]


def _tell(table: OwnTable, left_out: Sequence[tuple[OwnRow, str]]) -> None:
    """Name recordings that are left out."""
    for line in _told(left_out):
        log.warning("%s left out: %s", table.path.name, line)
    if len(left_out) > _TOLD:
        log.warning("%s left out: %d more recordings", table.path.name, len(left_out) - _TOLD)


__all__ = [
    "ABSENT",
    "CLASSES",
    "NOTHING",
    "REPEATED",
    "SCORES",
    "TEST_ALONE",
    "TRAIN_ALONE",
    "UNDECODABLE",
    "OwnOptions",
    "numbered",
    "own_entry",
]
