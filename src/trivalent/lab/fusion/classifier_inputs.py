"""What a classifier is given, as columns of modalities: arrays, data frames, or a mapping of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import check_array

from trivalent.core.errors import UsageError
from trivalent.core.types import FloatArray, IntArray, Modality
from trivalent.lab.named_choices import check_known

Columns = dict[Modality, NDArray[np.intp]]
Layout = Mapping[str, int | slice | Sequence[int] | Sequence[str]]


def column_groups(modalities: Layout | None, count: int, *, names: Sequence[str] | None = None) -> Columns:
    """Tell which columns belong to which modality.

    Parameters
    ----------
    modalities : mapping, optional
        Modality to a number of columns (taken one after another), a slice, positions, or names.
        Without, columns that all begin with `text_`, `audio_` or `face_` are grouped by that;
        other columns are one block, for which the name `text` stands.
    count : int
        Number of columns.
    names : sequence of str, optional
        Of a data frame.

    Raises
    ------
    UsageError
        A modality is unknown or has no column, a column is in two or does not exist, or only some
        names have a prefix.

    Examples
    --------
    >>> {str(m): c.tolist() for m, c in column_groups({"text": 2, "face": 1}, 3).items()}
    {'text': [0, 1], 'face': [2]}
    """
    if modalities is None:
        return _by_prefix(names, count)
    groups: Columns = {}
    taken = 0
    for name, what in modalities.items():
        check_known("modality", str(name), Modality)
        if isinstance(what, int | np.integer) and not isinstance(what, bool):
            what = slice(taken, taken + int(what))
            taken = what.stop
        groups[Modality(str(name))] = _positions(what, count, names, of=str(name))
    every = np.concatenate([*groups.values(), np.empty(0, np.intp)])
    if taken and taken != count and len(every) != count:
        raise UsageError("classifier.column_counts", count=count, taken=taken)
    if len(np.unique(every)) != len(every) or not groups:
        raise UsageError("classifier.one_modality")
    return {m: groups[m] for m in Modality if m in groups}


def _positions(what: Any, count: int, names: Sequence[str] | None, *, of: str) -> NDArray[np.intp]:
    if isinstance(what, slice):
        if (what.stop or 0) > count:
            raise UsageError("classifier.columns_below", of=of, count=count, what=what)
        positions = np.arange(count)[what]
    elif len(what) and isinstance(what[0], str):
        index = {name: i for i, name in enumerate(names if names is not None else ())}
        absent = [name for name in what if name not in index]
        if absent:
            raise UsageError("classifier.column_names", of=of, absent=absent[0])
        positions = np.array([index[name] for name in what])
    else:
        positions = np.asarray(what, np.intp)
    if not len(positions) or positions.min() < 0 or positions.max() >= count:
        raise UsageError(
            "classifier.columns", count=count - 1, of=of, found=np.asarray(positions).tolist()[:6]
        )
    return positions.astype(np.intp)


def _by_prefix(names: Sequence[str] | None, count: int) -> Columns:
    heads = [] if names is None else [str(name).partition("_") for name in names]
    known = [head in list(Modality) and bool(rest) for head, _, rest in heads]
    if not any(known):
        return {Modality.TEXT: np.arange(count)}
    if not all(known):
        other = "_".join(filter(None, heads[known.index(False)][::2]))
        raise UsageError("classifier.prefixes", other=other)
    owner = np.array([head for head, _, _ in heads])
    return {m: np.flatnonzero(owner == m) for m in Modality if (owner == m).any()}


def join_blocks(
    X: Mapping[str, ArrayLike], *, columns: Columns | None = None
) -> tuple[FloatArray, Columns]:
    """Put the arrays of a mapping side by side.

    Parameters
    ----------
    X : mapping of modality to array, shape (n, d)
    columns : mapping, optional
        As fitted; a modality that `X` lacks is absent from all samples.

    Returns
    -------
    joined : array, shape (n, columns)
    columns : mapping of Modality to positions

    Raises
    ------
    UsageError
        A modality is unknown, or arrays differ in length or have another width than fitted.
    """
    for name in X:
        allowed = Modality if columns is None else columns
        check_known("modality", str(name), allowed)
    blocks = {
        Modality(str(m)): check_array(x, dtype=np.float64, ensure_all_finite="allow-nan")
        for m, x in X.items()
    }
    lengths = {len(x) for x in blocks.values()}
    if len(lengths) != 1:
        raise UsageError("classifier.lengths", lengths=sorted(lengths))
    if columns is None:
        counts = {str(m): blocks[m].shape[1] for m in Modality if m in blocks}
        columns = column_groups(counts, sum(counts.values()))
    width = 1 + max(int(own.max()) for own in columns.values())
    joined = np.full((lengths.pop(), width), np.nan)
    for m, x in blocks.items():
        if x.shape[1] != len(columns[m]):
            raise UsageError("classifier.width", count=len(columns[m]), modality=m, shape=x.shape[1])
        joined[:, columns[m]] = x
    return joined, columns


def validation_rows(
    y: IntArray, *, fraction: float, seed: int, groups: Sequence[Any] | None = None
) -> NDArray[np.bool_]:
    """Choose samples for validation by class; every class keeps a sample to train on.

    Parameters
    ----------
    y : int array, shape (n,)
        Codes from 0.
    fraction : float
        Share of each class.
    seed : int
    groups : sequence, length n, optional
        Kept whole on one side.

    Raises
    ------
    ValueError
        Every class has one sample only, or no split by group leaves all classes to train on.

    Examples
    --------
    >>> validation_rows(np.array([0] * 10 + [1] * 5 + [2]), fraction=.2, seed=0).sum()
    np.int64(3)
    """
    if groups is not None:
        return _by_group(y, np.asarray(groups), fraction, seed)
    rng = np.random.default_rng(seed)
    counts = np.bincount(y)
    wanted = np.minimum(np.floor(counts * fraction + 0.5).astype(int), np.maximum(counts - 1, 0))
    if not wanted.any():
        wanted[counts.argmax()] = min(1, counts.max() - 1)
    if not wanted.any():
        raise ValueError(
            f"expected two samples of a class or more, got {len(y)} samples of {len(y)} classes; "
            "one is needed for validation"
        )
    validation = np.zeros(len(y), bool)
    for c, n in enumerate(wanted):
        validation[rng.permutation(np.flatnonzero(y == c))[:n]] = True
    return validation


def _by_group(y: IntArray, groups: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    if groups.shape != y.shape:
        raise ValueError(f"expected a group for each of {len(y)} samples, got {groups.shape}; pass all")
    folds = max(2, min(round(1 / fraction), len(np.unique(groups))))
    classes = len(np.unique(y))
    if len(np.unique(groups)) > 1:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        codes = np.unique(groups, return_inverse=True)[1]
        for train, held_out in splitter.split(y, y, codes):
            if len(np.unique(y[train])) == classes:
                return np.isin(np.arange(len(y)), held_out)
    raise ValueError(
        f"expected every class in two groups or more, got {len(np.unique(groups))} groups for {classes} "
        "classes that no split leaves whole; pass finer groups"
    )
