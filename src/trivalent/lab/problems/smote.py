"""Synthetic samples between neighbours: SMOTE and its kin, by imbalanced-learn (extra `train`)."""

from __future__ import annotations

import warnings

import numpy as np

from trivalent.core.errors import DataError, MissingExtraError, UsageError
from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.problems.resampled import (
    BALANCE,
    Resampled,
    Seed,
    Target,
    checked,
    count_classes,
    extended,
    wanted_more,
)


def smote(
    X: FloatArray, y: IntArray, *, seed: Seed, target: Target = BALANCE, k_neighbors: int = 5
) -> Resampled:
    """Interpolate between a sample and one of its k neighbours of the class (Chawla et al., JAIR 2002).

    Parameters
    ----------
    X : array, shape (n, d), finite
    target : see `random_over`
    k_neighbors : int
        Reduced to n_class - 1 where a class is smaller, with a note; a class of one sample is
        repeated instead.

    Raises
    ------
    DataError
        Values are not finite, X is not a table, or a target is impossible.
    MissingExtraError
        imbalanced-learn is not installed.
    """
    return _neighbours(X, y, seed, target, kind="SMOTE", k=k_neighbors)


def borderline_smote(
    X: FloatArray,
    y: IntArray,
    *,
    seed: Seed,
    target: Target = BALANCE,
    k_neighbors: int = 5,
    m_neighbors: int = 10,
) -> Resampled:
    """SMOTE from the samples in danger: half or more of their m neighbours differ (Han et al., ICIC 2005).

    Variant 1. Without a sample in danger the class gets plain SMOTE, with a note. Parameters and
    errors as for `smote`.
    """
    return _neighbours(X, y, seed, target, kind="BorderlineSMOTE", k=k_neighbors, m_neighbors=m_neighbors)


def adasyn(
    X: FloatArray, y: IntArray, *, seed: Seed, target: Target = BALANCE, k_neighbors: int = 5
) -> Resampled:
    """SMOTE with more samples where more neighbours belong to other classes (He et al., IJCNN 2008).

    The share of each sample is rounded, so that the counts come out near the target (a note
    tells how far); the method defines them so. A class without foreign neighbours gets plain
    SMOTE, with a note. Parameters and errors as for `smote`.
    """
    return _neighbours(X, y, seed, target, kind="ADASYN", k=k_neighbors)


def _neighbours(
    X: FloatArray, y: IntArray, seed: Seed, target: Target, *, kind: str, k: int, **options: int
) -> Resampled:
    """Add samples class by class, since k differs between classes."""
    X, y = checked(X, y, finite=True)
    if X.ndim != 2:
        raise DataError("resample.smote_table", kind=kind, shape=X.shape)
    for name, value in {"k_neighbors": k, **options}.items():
        if value < 1:
            raise UsageError("resample.smote_least", name=name, value=value)
    rng = np.random.default_rng(seed)
    counts, notes = count_classes(y), dict[str, int]()
    if len(counts) == 1:
        raise DataError("resample.smote_one_class", kind=kind, label=y[0])
    new_x, new_y = [X[:0]], [y[:0]]
    for c, n in wanted_more(counts, target).items():
        lacking = n - counts[c]
        if not lacking:
            continue
        if counts[c] == 1:
            made = np.repeat(X[y == c], lacking, axis=0)
            notes[f"class {c}: repeated, having one sample"] = lacking
        else:
            near = min(k, counts[c] - 1)
            if near < k:
                notes[f"class {c}: k_neighbors reduced to"] = near
            # One class against the rest: how these methods see several classes anyway.
            own = (y == c).astype(np.int64)
            made = _make(X, own, n, kind=kind, k=near, seed=int(rng.integers(2**31)), **options)
            if not len(made):
                made = _make(X, own, n, kind="SMOTE", k=near, seed=int(rng.integers(2**31)))
                notes[f"class {c}: plain SMOTE, no border found"] = lacking
            elif len(made) != lacking:
                notes[f"class {c}: more (+) or fewer (-) than asked"] = len(made) - lacking
        new_x.append(made.astype(X.dtype))
        new_y.append(np.full(len(made), c, dtype=y.dtype))
    return extended(X, y, np.concatenate(new_x), np.concatenate(new_y), notes)


def _make(
    X: FloatArray, own: IntArray, n: int, *, kind: str, k: int, seed: int, **options: int
) -> FloatArray:
    """Make what the samples with `own` = 1 lack to be n; nothing where the method finds no border."""
    try:
        from imblearn import over_sampling
    except ImportError as error:
        raise MissingExtraError("imbalanced-learn", "train") from error
    if kind == "ADASYN" and not _has_border(X, own, n, k=k):
        return X[:0]
    options |= {"n_neighbors" if kind == "ADASYN" else "k_neighbors": k}
    if "m_neighbors" in options:
        options["m_neighbors"] = min(options["m_neighbors"], len(X) - 1)
    sampler = getattr(over_sampling, kind)(sampling_strategy={1: n}, random_state=seed, **options)
    with warnings.catch_warnings():
        # A target above the majority was asked for.
        warnings.filterwarnings("ignore", message="After over-sampling")
        return sampler.fit_resample(X, own)[0][len(X) :]


def _has_border(X: FloatArray, own: IntArray, n: int, *, k: int) -> bool:
    """Tell whether ADASYN would make a sample: it shares them out by foreign neighbours, and rounds."""
    from sklearn.neighbors import NearestNeighbors

    members = X[own == 1]
    near = NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(members, return_distance=False)[:, 1:]
    foreign = (own[near] != 1).sum(1) / k
    return bool(foreign.any() and np.rint(foreign / foreign.sum() * (n - len(members))).any())
