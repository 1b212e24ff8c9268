"""From a table over time to a vector: named statistics of named columns.

A name is `COLUMN.STATISTIC`. A statistic may carry a prefix that transforms the column first
and a suffix that selects rows:

- `semitone_`: 12 log2 of the value, so that intervals of F0 count alike for deep and high voices;
- `logit_`: ln(p / (1 - p)) of an activation, clipped to [.001, .999], so that .01 against .001 counts;
- `d`: change from one row to the next, per second (`dstd`, `dabs`);
- `_voiced`: rows in which `VUV` is 1 only;
- `_above` (last): how far the statistic lies above its level in the whole recording; 0 where nothing
  else is heard.

Cells without a value are left out, never taken for zero.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.types import FeatureTable
from trivalent.features.levels import Level

Array = NDArray[np.float64]
Statistic = Callable[[Array, Array], float]  # values and times of at least one row, all finite

_VOICED = "_voiced"
ABOVE = "_above"
_SEMITONE = "semitone_"
_LOGIT = "logit_"
_LOGIT_CLIP = 1e-3
_VOICING_COLUMN = "VUV"


def _percentile(values: Array, times: Array, *, q: float) -> float:
    return float(np.percentile(values, q))


def _spread(values: Array, times: Array, *, low: float, high: float) -> float:
    bottom, top = np.percentile(values, [low, high])
    return float(top - bottom)


def _skew(values: Array, times: Array) -> float:
    deviation = values - values.mean()
    scale = np.sqrt(np.mean(deviation**2))
    # A constant column differs from its mean by rounding only.
    return float(np.mean((deviation / scale) ** 3)) if scale > 1e-12 * np.abs(values).max() else 0.0


def _slope(values: Array, times: Array) -> float:
    """Least-squares slope per second; NaN for a single instant."""
    centred = times - times.mean()
    power = float(centred @ centred)
    return float(centred @ (values - values.mean())) / power if power > 0 else np.nan


_STATISTICS: dict[str, Statistic] = {
    "mean": lambda values, times: float(values.mean()),
    "std": lambda values, times: float(values.std()),
    "min": lambda values, times: float(values.min()),
    "max": lambda values, times: float(values.max()),
    **{f"p{q:02d}": partial(_percentile, q=q) for q in (5, 10, 25, 50, 75, 90, 95)},
    "iqr": partial(_spread, low=25, high=75),
    "range": partial(_spread, low=10, high=90),
    "skew": _skew,
    "slope": _slope,
}
# Statistics of the change per second between neighbouring rows.
_CHANGES: dict[str, Callable[[Array], float]] = {
    "dstd": lambda changes: float(changes.std()),
    "dabs": lambda changes: float(np.abs(changes).mean()),
}
_COUNTS = ("rate",)  # rises through one half per second
STATISTICS: tuple[str, ...] = (*_STATISTICS, *_CHANGES, *_COUNTS)


@dataclass(frozen=True)
class PooledName:
    """A parsed name.

    Attributes
    ----------
    column, statistic : str
    semitone, logit, voiced, above : bool
    """

    column: str
    statistic: str
    semitone: bool
    logit: bool
    voiced: bool
    above: bool


def parse_name(name: str) -> PooledName:
    """Take a name apart.

    Raises
    ------
    FeatureError
        It is not `COLUMN.STATISTIC`, or there is no such statistic.

    Examples
    --------
    >>> parse_name("F0.semitone_std_voiced")
    PooledName(column='F0', statistic='std', semitone=True, logit=False, voiced=True, above=False)
    """
    column, dot, rest = name.rpartition(".")
    if not dot or not column:
        raise FeatureError("table.pooling_name", name=name)
    above, rest = rest.endswith(ABOVE), rest.removesuffix(ABOVE)
    semitone, logit, voiced = rest.startswith(_SEMITONE), rest.startswith(_LOGIT), rest.endswith(_VOICED)
    statistic = rest.removeprefix(_SEMITONE).removeprefix(_LOGIT).removesuffix(_VOICED)
    if statistic not in STATISTICS:
        raise FeatureError(
            "table.pooling_statistic",
            name=name,
            statistic=statistic,
            nearest=_nearest(statistic, STATISTICS),
        )
    return PooledName(column, statistic, semitone, logit, voiced, above)


def columns_of(names: Iterable[str]) -> tuple[str, ...]:
    """List the table columns that pooled names need, each once.

    >>> columns_of(["MCEP_1.mean_voiced", "F0.mean"])
    ('MCEP_1', 'VUV', 'F0')
    """
    needed: dict[str, None] = {}
    for name in map(parse_name, names):
        needed[name.column] = None
        if name.voiced:
            needed[_VOICING_COLUMN] = None
    return tuple(needed)


def pool(table: FeatureTable, names: Sequence[str], *, level: Level | None = None) -> Array:
    """Compute pooled statistics of a table.

    Parameters
    ----------
    table : FeatureTable
        Rows in order of time.
    names : sequence of str
        `COLUMN.STATISTIC`; see the module and `STATISTICS`. Standard deviations divide by n,
        percentiles interpolate linearly, slopes and changes are per second.
    level : Level, optional
        Of the recording, for the same names (`level_of_statistics`); that of the table if it is all that
        is heard.

    Returns
    -------
    array of float64, shape (len(names),)
        NaN where no row has a value (for changes and slopes: no two rows).

    Raises
    ------
    FeatureError
        Unknown column or statistic; the message names the nearest one.

    Examples
    --------
    >>> table = FeatureTable("demo", "1", ("x",), np.arange(3.0), np.array([[1.0], [np.nan], [5.0]]))
    >>> pool(table, ["x.mean", "x.p50", "x.slope", "x.dstd"]).tolist()
    [3.0, 3.0, 2.0, nan]
    """
    parsed = [parse_name(name) for name in names]
    for name in parsed:
        _check_columns(name, table.columns)
    selections: dict[tuple[str, bool, bool, bool], _Selection] = {}
    out = np.empty(len(parsed))
    for i, name in enumerate(parsed):
        key = (name.column, name.semitone, name.logit, name.voiced)
        if key not in selections:
            selections[key] = _Selection.of(table, name)
        out[i] = selections[key].statistic(name.statistic)
    return beside(out, names, level=Level(out, 1.0) if level is None else level)


def asks_level(names: Iterable[str]) -> bool:
    """Tell whether any statistic is told from the level of the recording."""
    return any(name.endswith(ABOVE) for name in names)


def beside(values: Array, names: Sequence[str], *, level: Level) -> Array:
    """Put statistics of an utterance beside their level in a recording: those that ask for it, less it."""
    above = np.array([name.endswith(ABOVE) for name in names], bool)
    return np.where(above, values - level.values, values)


def level_of_statistics(table: FeatureTable, names: Sequence[str]) -> Level:
    """Measure an utterance by the same statistics as they are."""
    values = pool(table, [name.removesuffix(ABOVE) for name in names])
    voiced = table.column(_VOICING_COLUMN) if _VOICING_COLUMN in table.columns else np.ones(len(table))
    return Level(values, float(np.nansum(voiced)))


@dataclass(frozen=True, eq=False)
class _Selection:
    """One column, transformed, with the rows that count."""

    values: Array  # (rows,), NaN where left out
    times: Array  # (rows,)

    @classmethod
    def of(cls, table: FeatureTable, name: PooledName) -> _Selection:
        values = table.column(name.column).astype(np.float64)
        keep = np.isfinite(values)
        if name.voiced:
            keep &= table.column(_VOICING_COLUMN) == 1
        if name.semitone:
            keep &= values > 0
            values = 12 * np.log2(np.where(keep, values, 1.0))
        if name.logit:
            p = np.clip(values, _LOGIT_CLIP, 1 - _LOGIT_CLIP)
            values = np.log(p / (1 - p))
        return cls(np.where(keep, values, np.nan), table.times)

    def statistic(self, name: str) -> float:
        keep = np.isfinite(self.values)
        if not keep.any():
            return np.nan
        if name in _CHANGES:
            changes = self._changes()
            return _CHANGES[name](changes) if changes.size else np.nan
        if name in _COUNTS:
            return self._rate()
        return _STATISTICS[name](self.values[keep], self.times[keep])

    def _changes(self) -> Array:
        """Change per second between rows that are neighbours in the table and both count."""
        gaps = np.diff(self.times)
        changes = np.diff(self.values)
        usable = np.isfinite(changes) & (gaps > 0)
        return changes[usable] / gaps[usable]

    def _rate(self) -> float:
        high = np.nan_to_num(self.values) > 0.5
        rises = np.count_nonzero(high[1:] & ~high[:-1]) + int(high[0])
        rows = len(self.times)
        # The span counts the last row's own length too: n rows last n hops.
        span = (self.times[-1] - self.times[0]) * rows / (rows - 1) if rows > 1 else 0.0
        return float(rises / span) if span > 0 else np.nan


def _check_columns(name: PooledName, columns: Sequence[str]) -> None:
    if name.column not in columns:
        hint = _nearest(name.column, columns)
        raise FeatureError("table.pooling_column", column=name.column, hint=hint)
    if name.voiced and _VOICING_COLUMN not in columns:
        raise FeatureError("table.pooling_vuv", column=name.column)


def _nearest(name: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(choices[:12])}"
