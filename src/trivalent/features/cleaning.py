"""Cleaning of features, pooled or of steps, as fitted on a training split and stored in a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import FeatureError
from trivalent.core.types import FloatArray


class Scaling(StrEnum):
    """How rows or columns are brought to one scale."""

    NONE = "none"
    ZSCORE = "zscore"  # every column to mean 0 and deviation 1 on the training split
    L2 = "l2"  # every row to length 1


@dataclass(frozen=True, eq=False)
class Cleaner:
    """What happens to a row of features before a network sees it.

    In order: columns are chosen by name, cells without a value get the training median, columns
    are standardised or rows normalised, values are clipped. Rows without any value stay NaN:
    the sample lacks the modality, and the network is told so by its mask.

    Attributes
    ----------
    columns : tuple of str, length d
        Kept.
    fill : array of float64, shape (d,)
        For cells without a value (NaN, infinite).
    mean, scale : array of float64, shape (d,)
        0 and 1 unless `scaling` is zscore.
    scaling : Scaling
    clip : float, optional
        Limit of the absolute value afterwards.
    removed : mapping of str to str
        Reason for each column that was left out.
    repaired : mapping of str to int
        Cells without a value on the training split, by kept column; only where there were some.
    """

    columns: tuple[str, ...]
    fill: FloatArray
    mean: FloatArray
    scale: FloatArray
    scaling: Scaling = Scaling.ZSCORE
    clip: float | None = None
    removed: Mapping[str, str] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)

    def apply(self, values: FloatArray, columns: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """Clean rows.

        Parameters
        ----------
        values : array of float, shape (n, len(columns)) or (n, steps, len(columns))
        columns : sequence of str
            Names of what comes in, in any order; more than are needed may come.

        Returns
        -------
        cleaned : array of float32, shape (n, d) or (n, steps, d)
        repaired : int
            Cells of present rows that had no value.

        Raises
        ------
        FeatureError
            A column is absent.
        """
        place = {name: i for i, name in enumerate(columns)}
        absent = [name for name in self.columns if name not in place]
        if absent:
            raise FeatureError("cleaner.columns", absent=absent[:3], count=len(absent), count2=len(place))
        x = np.asarray(values, np.float64)[..., [place[name] for name in self.columns]]
        holes = ~np.isfinite(x)
        present = ~holes.all(axis=-1)
        x = np.where(holes, self.fill, x)
        x = (x - self.mean) / self.scale
        if self.scaling is Scaling.L2:
            length = np.linalg.norm(x, axis=-1, keepdims=True)
            x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
        if self.clip is not None:
            x = np.clip(x, -self.clip, self.clip)
        x[~present] = np.nan
        return x.astype(np.float32), int(holes[present].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object from which `from_dict` makes an equal cleaner."""
        return {
            "columns": list(self.columns),
            "fill": self.fill.tolist(),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "scaling": str(self.scaling),
            "clip": self.clip,
            "removed": dict(self.removed),
            "repaired": dict(self.repaired),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Cleaner:
        """Invert `to_dict`.

        Raises
        ------
        FeatureError
            A field is absent or of the wrong length.
        """
        try:
            columns = tuple(map(str, content["columns"]))
            fill, mean, scale = (np.array(content[k], np.float64) for k in ("fill", "mean", "scale"))
            clip = None if content["clip"] is None else float(content["clip"])
            scaling = Scaling(content["scaling"])
            removed = {str(k): str(v) for k, v in content.get("removed", {}).items()}
            repaired = {str(k): int(v) for k, v in content.get("repaired", {}).items()}
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise FeatureError("cleaner.fields", error=str(error)[:160]) from error
        if any(a.shape != (len(columns),) for a in (fill, mean, scale)) or not (scale > 0).all():
            raise FeatureError(
                "cleaner.shapes",
                count=len(columns),
                shape=fill.shape,
                shape2=mean.shape,
                shape3=scale.shape,
            )
        if not np.isfinite([*fill, *mean, *scale]).all() or not (clip is None or 0 < clip < np.inf):
            raise FeatureError("cleaner.finite")
        return cls(
            columns, fill, mean, scale, scaling=scaling, clip=clip, removed=removed, repaired=repaired
        )
