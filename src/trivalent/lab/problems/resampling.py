"""Resampling of *training* samples against class imbalance; never of validation or test data.

Every resampler is a pure function of features, labels and a seed, and returns a `Resampled`. Those
that add samples put the originals first and the new ones behind. Synthetic samples must be made
inside each training fold: made before the split, they carry test samples into training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any

import numpy as np

from trivalent.core.errors import DataError, RecipeError, UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.named_choices import check_known, keyword_options
from trivalent.lab.problems.resampled import (
    BALANCE,
    SYNTHETIC,
    Resampled,
    Seed,
    Target,
    checked,
    count_classes,
    extended,
    picked,
    repeats,
    wanted_counts,
)
from trivalent.lab.problems.smote import adasyn, borderline_smote, smote

__all__ = [
    "RESAMPLERS",
    "Resampled",
    "adasyn",
    "borderline_smote",
    "check_resampling",
    "mixup",
    "modality_noise",
    "random_over",
    "random_under",
    "resample",
    "resampler_options",
    "smote",
    "unchanged",
    "weighted_sampler",
]


def unchanged(X: FloatArray, y: IntArray, *, seed: Seed = 0) -> Resampled:
    """Return the samples as they are; the seed is ignored."""
    X, y = checked(X, y)
    return picked(X, y, np.arange(len(y)))


def weighted_sampler(
    X: FloatArray, y: IntArray, *, seed: Seed, size: int | None = None, power: float = 1.0
) -> Resampled:
    """Draw `size` samples with replacement, each with odds n_class^(-power).

    Power 1 draws the classes equally often on average, 0 as often as they are; `rows` are the
    indices drawn. `size` defaults to the number of samples.

    >>> y = np.array([0] + [1] * 99)
    >>> drawn = weighted_sampler(np.zeros((100, 1)), y, seed=0, size=1000)
    >>> bool(450 < (drawn.y == 0).sum() < 550)
    True
    """
    X, y = checked(X, y)
    size = len(y) if size is None else size
    if not isinstance(size, Integral) or size < 1:
        raise UsageError("resample.size", size=size)
    _, position, counts = np.unique(y, return_inverse=True, return_counts=True)
    odds = counts[position].astype(float) ** -power
    return picked(X, y, np.random.default_rng(seed).choice(len(y), size=size, p=odds / odds.sum()))


def random_over(X: FloatArray, y: IntArray, *, seed: Seed, target: Target = BALANCE) -> Resampled:
    """Repeat random samples until each class has its target count.

    Parameters
    ----------
    target : "balance" or mapping of class to count
        "balance" brings all classes to the largest; classes that a mapping leaves out stay.

    Raises
    ------
    DataError
        A target lies below what a class has, or names a class without samples.
    """
    X, y = checked(X, y)
    return picked(X, y, np.concatenate([np.arange(len(y)), repeats(y, target, seed)]))


def random_under(X: FloatArray, y: IntArray, *, seed: Seed, target: Target = BALANCE) -> Resampled:
    """Keep random samples, without replacement, until each class has its target count.

    "balance" brings all classes to the smallest. The order of the samples stays.

    Raises
    ------
    DataError
        A target lies above what a class has, or names a class without samples.
    """
    X, y = checked(X, y)
    rng = np.random.default_rng(seed)
    counts = count_classes(y)
    wanted = wanted_counts(counts, target, min(counts.values()))
    for c, n in wanted.items():
        if not 0 <= n <= counts[c]:
            raise DataError("resample.under", counts=counts[c], c=c, n=n)
    kept = [rng.choice(np.flatnonzero(y == c), size=n, replace=False) for c, n in wanted.items()]
    return picked(X, y, np.sort(np.concatenate(kept)))


def mixup(X: FloatArray, y: IntArray, *, seed: Seed, alpha: float = 0.2) -> Resampled:
    """Replace the samples by l x_i + (1 - l) x_j, l from Beta(alpha, alpha) (Zhang et al., ICLR 2018).

    Each mixture comes twice, with label y_i and weight l, then with y_j and weight 1 - l:
    for every loss that is a mean over samples this equals the paper's mixed targets, and no loss
    needs to know about soft labels. Partners are a random permutation.

    Parameters
    ----------
    X : array, shape (n, ...), finite
    alpha : float
        Above 0; small values leave most samples nearly unmixed.

    Raises
    ------
    DataError
        Values are not finite.
    UsageError
        `alpha` is not positive.
    """
    X, y = checked(X, y, finite=True)
    if not alpha > 0:
        raise UsageError("resample.alpha", alpha=alpha)
    rng = np.random.default_rng(seed)
    other = rng.permutation(len(y))
    share = rng.beta(alpha, alpha, size=len(y))
    wide = share.reshape(-1, *[1] * (X.ndim - 1))
    mixed = (wide * X + (1 - wide) * X[other]).astype(X.dtype)
    return Resampled(
        np.concatenate([mixed, mixed]),
        np.concatenate([y, y[other]]),
        np.full(2 * len(y), SYNTHETIC),
        np.concatenate([share, 1 - share]),
    )


def modality_noise(
    X: FloatArray,
    y: IntArray,
    *,
    seed: Seed,
    modalities: Sequence[str],
    target: Target = BALANCE,
    scale: float = 0.1,
) -> Resampled:
    """Add copies with Gaussian noise on all columns of one modality, chosen at random per copy.

    The other modalities stay as observed, so that a network cannot lean on the one that is noisy.
    Only modalities that the sample has (a finite value) are drawn; NaN stays NaN.

    Parameters
    ----------
    X : array, shape (n, ..., d)
    modalities : sequence of str, length d
        The modality of each column.
    target : see `random_over`
        How many samples each class has with the copies.
    scale : float
        Deviation of the noise as a share of the column's deviation over the training samples.

    Raises
    ------
    DataError
        `modalities` does not fit the columns, or a target is impossible.
    UsageError
        `scale` is negative.
    """
    X, y = checked(X, y)
    of_column = np.asarray(modalities, str)
    if of_column.shape != X.shape[-1:]:
        raise DataError("resample.modalities", shape=X.shape[-1], shape2=of_column.shape)
    if not scale >= 0:
        raise UsageError("resample.scale", scale=scale)
    rng = np.random.default_rng(seed)
    rows = repeats(y, target, rng)
    names, which = np.unique(of_column, return_inverse=True)
    known = np.any(np.isfinite(X[rows]), axis=tuple(range(1, X.ndim - 1)))  # (copies, d)
    has = np.stack([known[:, which == m].any(axis=1) for m in range(len(names))], axis=1)
    # The largest of random keys is a uniform choice among the modalities that a copy has.
    chosen = np.where(has, rng.random(has.shape), -1.0).argmax(axis=1)  # (copies,)
    hit = (which == chosen[:, None]).reshape(len(rows), *[1] * (X.ndim - 2), X.shape[-1])
    noise = rng.normal(size=(len(rows), *X.shape[1:])) * (scale * _deviation(X))
    noisy = (X[rows] + np.where(hit, noise, 0.0)).astype(X.dtype)
    return extended(X, y, noisy, y[rows], {})


RESAMPLERS: Mapping[str, Callable[..., Resampled]] = MappingProxyType(
    {
        "unchanged": unchanged,
        "weighted_sampler": weighted_sampler,
        "random_over": random_over,
        "random_under": random_under,
        "smote": smote,
        "borderline_smote": borderline_smote,
        "adasyn": adasyn,
        "mixup": mixup,
        "modality_noise": modality_noise,
    }
)


_GIVEN = ("seed", "modalities")  # by the run and the data, never chosen
# By the type of the default.
_KINDS: Mapping[type, tuple[type, str]] = {int: (Integral, "a whole number"), float: (Real, "a number")}


def resampler_options(name: str) -> dict[str, Any]:
    """Return what can be chosen of a resampler, with the defaults.

    >>> resampler_options("modality_noise")
    {'target': 'balance', 'scale': 0.1}
    """
    check_known("resampler", name, RESAMPLERS)
    return {k: v for k, v in keyword_options(RESAMPLERS[name]).items() if k not in _GIVEN}


def check_resampling(name: str, options: Mapping[str, Any]) -> None:
    """Compare names and types of chosen options with what the resampler takes.

    Raises
    ------
    UsageError
        Unknown resampler.
    RecipeError
        It has no such option, or a number is something else.

    Examples
    --------
    >>> check_resampling("smote", {"alpha": 0.2})
    Traceback (most recent call last):
    ...
    trivalent.core.errors.RecipeError: expected an option of smote, got 'alpha'; it has: target, k_neighbors
    """
    defaults = resampler_options(name)
    for key, value in options.items():
        if key not in defaults:
            told = f"it has: {', '.join(defaults)}" if defaults else "it has none"
            raise RecipeError("resample.option", name=name, key=key, told=told)
        kind, words = _KINDS.get(type(defaults[key]), (object, "anything"))
        if not isinstance(value, kind) or (kind is not object and isinstance(value, bool)):
            raise RecipeError(
                "resample.value", words=words, key=key, name=name, value=value, known=defaults[key]
            )


def resample(
    name: str,
    X: FloatArray,
    y: IntArray,
    *,
    seed: Seed,
    modalities: Sequence[str] | None = None,
    **options: Any,
) -> Resampled:
    """Resample training samples by the resampler's name.

    Parameters
    ----------
    name : str
    X, y, seed
        As of the resamplers.
    modalities : sequence of str, optional
        The modality of each column; of the resamplers, only `modality_noise` asks for it.
    **options
        See `resampler_options`.

    Raises
    ------
    UsageError
        Unknown resampler, or the modalities are asked for and absent.
    RecipeError
        An option is unknown or of another type.

    Examples
    --------
    >>> more = resample("random_over", np.arange(4.0)[:, None], np.array([0, 1, 1, 1]), seed=0)
    >>> more.y.tolist(), more.rows.tolist()
    ([0, 1, 1, 1, 0, 0], [0, 1, 2, 3, 0, 0])
    """
    check_resampling(name, options)
    given: dict[str, Any] = {}
    if "modalities" in keyword_options(RESAMPLERS[name]):
        if modalities is None:
            raise UsageError("resample.no_modalities", name=name)
        given["modalities"] = modalities
    return RESAMPLERS[name](X, y, seed=seed, **given, **options)


def _deviation(X: FloatArray) -> FloatArray:
    """Deviation of each column over its finite cells, 0 where there is none, shape (d,)."""
    cells = X.reshape(-1, X.shape[-1]).astype(np.float64)
    present = np.isfinite(cells)
    n = np.maximum(present.sum(0), 1)
    centred = np.where(present, cells - np.where(present, cells, 0).sum(0) / n, 0)
    return np.sqrt((centred**2).sum(0) / n)
