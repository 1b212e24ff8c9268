"""The choice among many rows: made on validation, then tested against one other row on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from trivalent.core.types import FloatArray, IntArray
from trivalent.lab.benchmarks.bench import Bench
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.measure.statistics import PairedTest, paired_bootstrap, paired_t
from trivalent.lab.problems.parts import Part

_NO_SEED = -1  # scores that are about all seeds together


@dataclass(frozen=True, eq=False)
class Candidate:
    """A row that could be chosen.

    Attributes
    ----------
    row : str
        Its name in the table.
    validation : array, shape (seeds,)
        Macro-F1 on validation.
    codes : int array, shape (seeds, n)
        Predictions of the test part.
    """

    row: str
    validation: FloatArray
    codes: IntArray


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Take the candidate with the best mean on validation, of equal ones the first.

    >>> none = np.zeros((2, 1), int)
    >>> choose([Candidate("a", np.array([1, 0]), none), Candidate("b", np.array([0.5, 0.6]), none)]).row
    'b'
    """
    return max(candidates, key=lambda c: float(c.validation.mean()))


def compare(bench: Bench, first: Candidate, second: Candidate, part: Part) -> dict[str, Any]:
    """Test the difference in macro-F1 on test, over seeds and over groups of test samples.

    The two answer different questions: would other seeds say the same, and would other videos
    or speakers? For the second, each resample of groups is judged by the mean over seeds.

    Parameters
    ----------
    bench : Bench
        Which has scored both rows.
    first, second : Candidate
    part : Part
        The test part.

    Returns
    -------
    dict
        first, second, their macro-F1, the difference with both intervals and p-values.
    """
    a, b = (bench.figures[c.row]["macro_f1"] for c in (first, second))
    comparison: dict[str, Any] = {
        "first": first.row,
        "second": second.row,
        "first_macro_f1": float(a.mean()),
        "second_macro_f1": float(b.mean()),
        "difference": float((a - b).mean()),
    }
    if first.row == second.row:
        return comparison
    groups = part.groups.tolist()
    stacked = np.stack([first.codes, second.codes])  # (2, seeds, n)

    def by(labels: IntArray, codes: IntArray) -> dict[str, PairedTest]:
        one, two = (np.ascontiguousarray(c.T) for c in codes)
        return {
            "test": paired_bootstrap(
                _mean_macro_f1, labels, first=one, second=two, groups=groups, rounds=500
            )
        }

    name = f"{first.row} minus {second.row}"
    over_groups = part.score(name, stacked, seed=_NO_SEED, by=by)["test"]
    return comparison | {"over_seeds": _told(paired_t(a, b)), "over_test_groups": _told(over_groups)}


def claim(text: str, tested: dict[str, Any]) -> dict[str, Any]:
    """Turn a comparison into a verdict: it holds if neither interval of the difference reaches 0."""
    if "over_seeds" not in tested:
        return {"claim": text, "verdict": "does not hold", "reason": f"both are {tested['first']}"}
    seeds, groups = tested["over_seeds"], tested["over_test_groups"]
    holds = seeds["low"] > 0 and groups["low"] > 0
    return {
        "claim": text,
        "verdict": "holds" if holds else "does not hold",
        "reason": (
            f"macro F1 of {tested['first']} minus {tested['second']}: {tested['difference']:+.3f}, "
            f"over seeds [{seeds['low']:+.3f}, {seeds['high']:+.3f}], "
            f"over {groups['n']} test groups [{groups['low']:+.3f}, {groups['high']:+.3f}]"
        ),
    }


def rank_correlation(bench: Bench, candidates: Sequence[Candidate]) -> float | None:
    """Say how well validation orders the candidates as test does (Spearman); None if it is undefined."""
    test = [float(bench.figures[c.row]["macro_f1"].mean()) for c in candidates]
    validation = [float(c.validation.mean()) for c in candidates]
    if len(candidates) < 3 or np.ptp(test) == 0 or np.ptp(validation) == 0:
        return None
    return float(spearmanr(validation, test).statistic)


def _mean_macro_f1(labels: IntArray, codes: FloatArray) -> float:
    """Macro-F1, mean over seeds; codes of shape (n, seeds)."""
    return float(np.mean([macro_f1(labels, own) for own in codes.T]))


def _told(test: PairedTest) -> dict[str, Any]:
    return {"low": test.low, "high": test.high, "p_value": test.p_value, "n": test.n}
