"""Validation data in two halves: one to choose on, one that only prediction sets are calibrated on.

Split conformal prediction promises its coverage for calibration items that the model and everything
chosen for it has not seen (Vovk, Gammerman & Shafer 2005, chapter 4; Angelopoulos & Bates 2021,
section 1). Epochs, temperatures and thresholds are chosen on validation items, which thereby look
easier than new ones: sets that are calibrated on the same items hold the label too seldom.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from trivalent.core.errors import DataError
from trivalent.lab.datasets.splits import split_by_group
from trivalent.lab.problems.parts import Part

# With 100 items and a stated coverage of .9 the true one lies within .06 of it for 95 of 100 such
# halves (Angelopoulos & Bates 2021, section 3.2); and with fewer on the other side, choices are chance.
MIN_SAMPLES = 100
MIN_GROUPS = 10


class ConformalSplit(StrEnum):
    """Whether prediction sets get validation items of their own."""

    AUTO = "auto"  # where both halves have 100 samples of 10 videos or speakers, or more
    ALWAYS = "always"
    NEVER = "never"  # calibrated on what was chosen on: approximate


def split_validation(part: Part, how: ConformalSplit | str) -> tuple[Part, Part | None]:
    """Split validation data by group, without regard to labels.

    Parameters
    ----------
    part : Part
        Validation.
    how : ConformalSplit

    Returns
    -------
    chosen_on : Part
        For epochs, calibration, decision and abstention; all of it without a split.
    apart : Part or None
        For the prediction sets alone.

    Raises
    ------
    DataError
        A split is wanted of a single group.
    LeakageError
        It is the test part.
    """
    how = ConformalSplit(how)
    if how is ConformalSplit.NEVER:
        return part, None
    split = split_by_group(part.groups, fractions=(0.5, 0.5, 0.0))
    halves = [part.take(rows) for rows in (split.train, split.validation)]
    if how is ConformalSplit.AUTO and not all(map(_is_large, halves)):
        return part, None
    if not all(map(len, halves)):
        raise DataError("calibration.conformal_one_group", count=len(part), never=ConformalSplit.NEVER)
    return halves[0], halves[1]


def _is_large(half: Part) -> bool:
    return len(half) >= MIN_SAMPLES and len(np.unique(half.groups)) >= MIN_GROUPS
