"""Fitting of the cleaning on training data, with a count of everything that it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray
from trivalent.features.cleaning import Cleaner, Scaling
from trivalent.features.tokens import NAME as TOKENS
from trivalent.lab.datasets.dataset import Features

MOST_STEPS = 200_000  # more of them tell hardly more of a mean or a median


@dataclass(frozen=True)
class CleaningConfig:
    """What is removed and how the rest is scaled.

    Attributes
    ----------
    scaling : str
        zscore, l2 or none.
    clip : float
        Limit in training deviations (zscore); 0 switches it off.
    constant : bool
        Remove columns that do not vary.
    explode : float
        Remove columns whose deviation exceeds this many times the median deviation of all
        columns; 0 switches it off. Our reading of the rule by which the paper behind this project
        reduced the 713 OpenFace columns of CMU-MOSEI to 710: a tracker that loses the face
        leaves a few columns of astronomical size, which no standardisation mends.
    """

    scaling: str = "zscore"
    clip: float = 5.0
    constant: bool = True
    explode: float = 1e4


def fit_cleaner(features: Features, config: CleaningConfig | None = None) -> Cleaner:
    """Decide on training data which columns to keep and how to scale them.

    Parameters
    ----------
    features : Features
        Of the training split alone. Of sequences all steps count alike; where there are more than
        `MOST_STEPS`, so many of them, evenly spaced. Ids of tokens stay as they are.
    config : CleaningConfig

    Returns
    -------
    Cleaner
        With `removed` (reason by column) and `repaired` (cells without value by column).

    Raises
    ------
    DataError
        No sample has the modality, or no column is left.

    Examples
    --------
    >>> values = np.array([[0.0, 1, 2], [0, -np.inf, 4], [0, 3, 9]], np.float32)
    >>> cleaner = fit_cleaner(Features("demo", ("a", "b", "c"), values))
    >>> cleaner.columns, dict(cleaner.removed), dict(cleaner.repaired)
    (('b', 'c'), {'a': 'constant'}, {'b': 1})
    """
    if features.extractor == TOKENS:  # ids, not quantities
        config = CleaningConfig(scaling=Scaling.NONE, clip=0.0, constant=False, explode=0.0)
    config = config or CleaningConfig()
    values = _rows(features)
    if not len(values):
        raise DataError(
            "cleaner.cleaning_no_samples", extractor=features.extractor, count=len(features.values)
        )
    values[~np.isfinite(values)] = np.nan
    holes = np.isnan(values).sum(axis=0)
    removed = _removed(values, holes, features.columns, config)
    kept = [i for i, name in enumerate(features.columns) if name not in removed]
    if not kept:
        raise DataError(
            "cleaner.cleaning_no_column", count=len(features.columns), extractor=features.extractor
        )
    fill = np.nanmedian(values[:, kept], axis=0)
    filled = np.where(np.isnan(values[:, kept]), fill, values[:, kept])
    zscore = Scaling(config.scaling) is Scaling.ZSCORE
    return Cleaner(
        tuple(features.columns[i] for i in kept),
        fill,
        filled.mean(axis=0) if zscore else np.zeros(len(kept)),
        np.maximum(filled.std(axis=0), 1e-12) if zscore else np.ones(len(kept)),
        scaling=Scaling(config.scaling),
        clip=(config.clip or None) if zscore else None,
        removed=removed,
        repaired={features.columns[i]: int(holes[i]) for i in kept if holes[i]},
    )


def _rows(features: Features) -> FloatArray:
    """Return what there is: samples, or the steps of all sequences."""
    if not features.steps:
        return np.asarray(features.values[features.present], np.float64)
    there = np.isfinite(features.values).any(axis=-1)
    sample, step = np.nonzero(there)
    kept = np.linspace(0, len(sample) - 1, min(len(sample), MOST_STEPS)).astype(np.intp)
    return np.asarray(features.values[sample[kept], step[kept]], np.float64)


def _removed(
    values: FloatArray, holes: FloatArray, columns: tuple[str, ...], config: CleaningConfig
) -> dict[str, str]:
    removed = {columns[i]: "no value" for i in np.flatnonzero(holes == len(values))}
    alive = holes < len(values)
    spread = np.zeros(len(columns))
    spread[alive] = np.nanstd(values[:, alive], axis=0)
    # Against the size of the values: the deviation of a constant is rounding noise.
    size = np.zeros(len(columns))
    size[alive] = np.nanmax(np.abs(values[:, alive]), axis=0)
    still = alive & (spread <= 1e-9 * np.maximum(size, 1e-9))
    if config.constant:
        removed |= {columns[i]: "constant" for i in np.flatnonzero(still)}
    moving = alive & ~still
    if config.explode and moving.any():
        limit = config.explode * float(np.median(spread[moving]))
        for i in np.flatnonzero(moving & (spread > limit)):
            removed[columns[i]] = f"deviation {spread[i]:.3g} beyond {limit:.3g}"
    return removed
