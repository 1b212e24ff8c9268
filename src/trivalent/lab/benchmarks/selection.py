"""The choice among many rows: made on validation, then tested against one other row on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from trivalent.core.types import FloatArray
from trivalent.lab.benchmarks.bench import Bench, Claim, judge


@dataclass(frozen=True, eq=False)
class Candidate:
    """A row that could be chosen.

    Attributes
    ----------
    row : str
        Its name in the table.
    validation : array, shape (seeds,)
        Macro-F1 on validation.
    """

    row: str
    validation: FloatArray


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Take the candidate with the best mean on validation, of equal ones the first.

    >>> choose([Candidate("a", np.array([1, 0])), Candidate("b", np.array([0.5, 0.6]))]).row
    'b'
    """
    return max(candidates, key=lambda c: float(c.validation.mean()))


def compare(bench: Bench, first: Candidate, second: Candidate, *, text: str) -> dict[str, Any]:
    """Test on test that one row has the higher macro-F1, which validation chose; see `judge`.

    Parameters
    ----------
    bench : Bench
        Which has scored both rows.
    first, second : Candidate
    text : str
        The claim.
    """
    rows = {"first": first.row, "second": second.row}
    macro = {f"{key}_macro_f1": float(bench.figures[r]["macro_f1"].mean()) for key, r in rows.items()}
    return rows | macro | judge(Claim(text, first.row, second.row), bench.spreads)


def rank_correlation(bench: Bench, candidates: Sequence[Candidate]) -> float | None:
    """Say how well validation orders the candidates as test does (Spearman); None if it is undefined."""
    test = [float(bench.figures[c.row]["macro_f1"].mean()) for c in candidates]
    validation = [float(c.validation.mean()) for c in candidates]
    if len(candidates) < 3 or np.ptp(test) == 0 or np.ptp(validation) == 0:
        return None
    return float(spearmanr(validation, test).statistic)
