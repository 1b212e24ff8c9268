"""Whether your own data can be trained on, and what has to be told about it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import LABELS, Modality
from trivalent.lab.datasets.dataset import Dataset

log = logging.getLogger(__name__)
MIN_SAMPLES = 2  # of the training part that have a modality: one alone does not vary
_TOLD = 3  # reasons


def check_classes(data: Dataset) -> tuple[str, ...]:
    """Return the classes that the training part lacks.

    Raises
    ------
    DataError
        All samples of the training part have the same label.
    """
    counts = np.bincount(data.labels[data.split == "train"], minlength=len(LABELS))
    present = [label for label, count in zip(LABELS, counts, strict=True) if count]
    if len(present) < 2:
        raise DataError("own.one_class", name=data.name, label=" ".join(present), count=int(counts.sum()))
    return tuple(label for label in LABELS if label not in present)


def usable_modalities(data: Dataset, wanted: Sequence[Modality]) -> tuple[Modality, ...]:
    """Leave out the modalities that hardly any training sample has, and tell what samples lack.

    Raises
    ------
    DataError
        None is left.
    """
    usable = []
    for m in wanted or tuple(Modality):
        block, train = data.features.get(m), data.split == "train"
        count = 0 if block is None else int(block.present[train].sum())
        if block is None or count < MIN_SAMPLES:
            log.warning("%s: %d training samples have %s: trained without it", data.name, count, m)
            continue
        usable.append(m)
        lacking = [reason for reason, there in zip(block.reasons, block.present, strict=True) if not there]
        if lacking:
            told = [f"{reason} ({count})" for reason, count in Counter(lacking).most_common(_TOLD)]
            rest = ["..."] if len(set(lacking)) > _TOLD else []
            log.warning(
                "%s: %d of %d samples lack %s: %s",
                data.name,
                len(lacking),
                len(data),
                m,
                "; ".join([*told, *rest]),
            )
    if not usable:
        raise DataError("own.no_modality", name=data.name, wanted=list(wanted), least=MIN_SAMPLES)
    return tuple(usable)


__all__ = ["check_classes", "usable_modalities"]
