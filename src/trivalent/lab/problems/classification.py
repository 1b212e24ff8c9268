"""From a data set to a problem: three guarded parts, cleaned by what the training part says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, Sentiment, map_scores
from trivalent.features.cleaning import Cleaner
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.problems.cleaning import CleaningConfig, fit_cleaner
from trivalent.lab.problems.parts import Part, Parts, Role

SEVEN = 7
_AT_ONCE = 256  # sequences
_ROLES = {"train": Role.TRAIN, "val": Role.VAL, "test": Role.TEST}


@dataclass(frozen=True, eq=False)
class Problem:
    """Classification of the samples of one data set.

    Attributes
    ----------
    name : str
        Data set and protocol.
    parts : Parts
    cleaners : mapping of Modality to Cleaner
        Fitted on the training part.
    classes : int
        3, or 7 where the scores are rounded to -3..3.
    synthetic : bool
        Feature values were drawn at random.
    extractors : mapping of Modality to str
        Who computed the features.
    dropped : mapping of str to int
        Samples that were left out of the data, by reason.
    """

    name: str
    parts: Parts
    cleaners: Mapping[Modality, Cleaner]
    classes: int = len(Sentiment)
    synthetic: bool = False
    extractors: Mapping[Modality, str] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def sequences(self) -> dict[Modality, int]:
        """Modalities that are sequences, with the steps of the longest one."""
        return {m: x.shape[1] for m, x in self.parts.train.features.items() if x.ndim == 3}

    @property
    def widths(self) -> dict[Modality, int]:
        """Columns of each modality after cleaning."""
        return {m: len(cleaner.columns) for m, cleaner in self.cleaners.items()}

    def counts(self) -> np.ndarray:
        """Count the classes of the training part, shape (classes,)."""
        return np.bincount(self.parts.train.labels_to_fit(), minlength=self.classes)


def make_problem(
    data: Dataset,
    *,
    modalities: Sequence[Modality] | None = None,
    cleaning: CleaningConfig | None = None,
    seven: bool = False,
) -> Problem:
    """Split, clean and guard a data set.

    Parameters
    ----------
    data : Dataset
    modalities : sequence of Modality, optional
        Those of the data set that have features by default.
    cleaning : CleaningConfig, optional
    seven : bool
        Seven classes from the scores instead of three.

    Raises
    ------
    DataError
        A split is empty, a modality has no features, or scores are missing for seven classes.
    LeakageError
        A group lies in two parts.
    """
    modalities = tuple(data.features) if modalities is None else tuple(modalities)
    absent = [m for m in modalities if m not in data.features]
    if absent or not modalities:
        raise DataError(
            "training.problem_absent",
            absent=", ".join(absent) or "a modality",
            name=data.name,
            features=", ".join(data.features) or "none",
        )
    splits = {name: data.part(name) for name in _ROLES}
    cleaners = {m: fit_cleaner(splits["train"].features[m], cleaning) for m in modalities}
    parts = {name: _part(split, _ROLES[name], cleaners, seven) for name, split in splits.items()}
    classes = SEVEN if seven else len(Sentiment)
    extractors = {m: data.features[m].extractor for m in modalities}
    return Problem(
        f"{data.name}, {data.protocol}",
        Parts(**parts),
        cleaners,
        classes,
        data.synthetic,
        extractors,
        data.dropped,
    )


def _cleaned(block: Features, cleaner: Cleaner) -> NDArray[np.float32]:
    """Clean all samples, some at a time: sequences are large."""
    if not block.steps:
        return cleaner.apply(block.values, block.columns)[0]
    cleaned = np.empty((*block.values.shape[:2], len(cleaner.columns)), np.float32)
    for start in range(0, len(cleaned), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        cleaned[rows], _ = cleaner.apply(block.values[rows], block.columns)
    return cleaned


def _part(data: Dataset, role: Role, cleaners: Mapping[Modality, Cleaner], seven: bool) -> Part:
    features = {m: _cleaned(data.features[m], cleaner) for m, cleaner in cleaners.items()}
    labels = map_scores(data.scores, LabelMap.SEVEN) if seven else data.labels
    return Part(role, features, data.groups, labels, data.scores)
