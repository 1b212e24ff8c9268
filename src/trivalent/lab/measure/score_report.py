"""What scores from -3 to 3 are worth: every convention by name, with intervals, beside constant scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trivalent.core.types import SCALE, FloatArray, LabelMap, map_scores
from trivalent.lab.measure.groups import resamples
from trivalent.lab.measure.metrics import confusion_matrix
from trivalent.lab.measure.regression_metrics import summarize_scores

SCORE_TITLES = {
    "mae": "MAE",
    "pearson": "Pearson r",
    "accuracy2_non_negative": "Acc-2, negative or not",
    "f1_2_non_negative": "F1-2, negative or not",
    "accuracy2_without_zero": "Acc-2, without 0",
    "f1_2_without_zero": "F1-2, without 0",
    "accuracy5_half_even": "Acc-5",
    "accuracy5_half_away": "Acc-5, ties from 0",
    "f1_5": "F1-5",
    "accuracy7_half_even": "Acc-7",
    "accuracy7_half_away": "Acc-7, ties from 0",
    "f1_7": "F1-7",
}
SCORE_LIMITS = {"mae": (0.0, 2 * SCALE), "pearson": (-1.0, 1.0)}  # of those that are no shares
CONSTANTS = ("mean score", "median score")  # of the training part


def score_figures(truth: FloatArray, predicted: FloatArray) -> dict[str, float | None]:
    """All metrics by name; None where one is undefined."""
    found = summarize_scores(truth, predicted)
    return {name: found[name] if np.isfinite(found[name]) else None for name in SCORE_TITLES}


def report_scores(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    groups: Sequence[str],
    constants: Sequence[float],
    rounds: int = 1000,
) -> dict[str, Any]:
    """Everything about the scores of one part, as a JSON object.

    Parameters
    ----------
    truth, predicted : array, shape (n,)
    groups : sequence of str, length n
        Video or speaker.
    constants : sequence of float
        Mean and median of the training part, as far as they are known.
    rounds : int
        Of the bootstrap over groups; 0 leaves the intervals out.
    """
    figures = score_figures(truth, predicted)
    bounds: Mapping[str, tuple[float | None, float | None]] = {}
    if rounds:
        bounds = _intervals(truth, predicted, groups=groups, rounds=rounds)
    return {
        "n": len(truth),
        "groups": len(np.unique(np.asarray(groups))),
        "figures": {
            name: dict(zip(("value", "low", "high"), (x, *bounds.get(name, (None, None))), strict=True))
            for name, x in figures.items()
        },
        "constants": {
            name: score_figures(truth, np.full(len(truth), value))
            for name, value in zip(CONSTANTS, constants, strict=False)
        },
        "confusion7": confusion_matrix(
            *(map_scores(x, LabelMap.SEVEN) for x in (truth, predicted)), classes=7
        ).tolist(),
    }


def _intervals(
    truth: FloatArray, predicted: FloatArray, *, groups: Sequence[str], rounds: int
) -> dict[str, tuple[float | None, float | None]]:
    """95 % percentile intervals, resampling whole groups; None of what a resample leaves undefined."""
    drawn = np.empty((rounds, len(SCORE_TITLES)))
    for i, rows in enumerate(resamples(groups, rounds=rounds)):
        found = summarize_scores(truth[rows], predicted[rows])
        drawn[i] = [found[name] for name in SCORE_TITLES]
    bounds = np.percentile(drawn, [2.5, 97.5], axis=0).T.tolist()
    return {
        name: (low, high) if np.isfinite([low, high]).all() else (None, None)
        for name, (low, high) in zip(SCORE_TITLES, bounds, strict=True)
    }


def render_scores(content: Mapping[str, Any]) -> list[str]:
    """Lay what `report_scores` returned out as lines of text."""
    lines = ["", f"  scores from -3 to 3, n {content['n']:,}"]
    lines += [f"  {SCORE_TITLES[k]:24}{_value(v)}" for k, v in content["figures"].items()]
    for name, own in content["constants"].items():
        lines.append(
            f"  {f'always the {name}':24}MAE {own['mae']:.3f}, Acc-7 {own['accuracy7_half_even']:.3f}"
        )
    return lines


def _value(v: Mapping[str, float | None]) -> str:
    if v["value"] is None:
        return "undefined"
    interval = "" if v["low"] is None else f"  [{v['low']:.3f}, {v['high']:.3f}]"
    return f"{v['value']:.3f}{interval}"


__all__ = ["CONSTANTS", "SCORE_LIMITS", "SCORE_TITLES", "render_scores", "report_scores", "score_figures"]
