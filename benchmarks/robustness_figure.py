"""robustness.png from robustness.json: macro-F1, below it ECE, for each kind of disturbance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

METRICS = {"macro_f1": ("macro-F1", 1.0), "ece": ("ECE", 0.5)}  # title, top of the axis
COLOURS = ("#0072B2", "#D55E00", "#009E73")  # told apart by all eyes (Okabe & Ito 2008)
MARKS = ("o", "s", "^")
COLUMNS = 4


def draw(folder: Path) -> Path:
    """Draw the curves of a result file beside it."""
    content = json.loads((folder / "robustness.json").read_text())
    rows = {row["name"]: row["metrics"] for row in content["rows"]}
    panels = _panels(content["curves"])
    lines = len(METRICS) * -(-len(panels) // COLUMNS)
    style: dict[Any, Any] = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            lines, COLUMNS, figsize=(10, 2.1 * lines), squeeze=False, layout="constrained"
        )
        for axis in axes.flat:
            axis.set_visible(False)
        for i, curves in enumerate(panels):
            for k, (metric, (title, top)) in enumerate(METRICS.items()):
                axis = axes[i // COLUMNS * len(METRICS) + k][i % COLUMNS]
                axis.set_visible(True)
                _panel(axis, curves, rows, metric)
                axis.set_ylim(0, top)
                if i % COLUMNS == 0:
                    axis.set_ylabel(title)
            axes[i // COLUMNS * len(METRICS)][i % COLUMNS].set_title(curves[0]["panel"], fontsize=9)
        _legend(axes[-2][-1], axes[0][0])
        path = folder / "robustness.png"
        figure.savefig(path, dpi=130)
        plt.close(figure)
    return path


def _panels(curves: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put curves of one panel together."""
    found: dict[str, list[dict[str, Any]]] = {}
    for curve in curves:
        found.setdefault(curve["panel"], []).append(curve)
    return list(found.values())


def _panel(axis: Axes, curves: list[dict[str, Any]], rows: dict[str, Any], metric: str) -> None:
    """Draw the lines with their intervals; the clean input comes first, strengths at equal steps."""
    for curve, colour, mark in zip(curves, COLOURS, MARKS, strict=False):
        found = [rows[name] for _, name in curve["rows"]]
        if metric == "macro_f1":
            lost = [row["no_answer"]["mean"] for row in found]
            axis.plot(lost, color=colour, linestyle=":", linewidth=1)
        at = [i for i, row in enumerate(found) if metric in row]
        mean, low, high = ([found[i][metric][key] for i in at] for key in ("mean", "low", "high"))
        joined = "-" if curve["axis"] else ""
        axis.plot(at, mean, color=colour, marker=mark, markersize=4, linestyle=joined, label=curve["name"])
        axis.vlines(at, low, high, color=colour, linewidth=1, alpha=0.6)
        constant = rows[curve["constant"]][metric]["mean"]
        axis.axhline(constant, color=colour, linestyle="--", linewidth=1, alpha=0.6)
    labels = [label for label, _ in curves[0]["rows"]]
    long = not curves[0]["axis"]
    axis.set_xticks(range(len(labels)), labels, rotation=90 if long else 0)
    axis.tick_params(labelbottom=metric == "ece" or not long)  # long names once
    if metric == "ece":
        axis.set_xlabel(curves[0]["axis"])
    if metric == "ece" and len(curves) > 1:
        axis.legend(fontsize=7, loc="upper left", frameon=False)


def _legend(free: Axes, like: Axes) -> None:
    """Explain the lines once, in the cell that no panel needs."""
    if free.get_visible():
        return
    free.set_visible(True)
    free.axis("off")
    free.plot([], [], color=COLOURS[0], marker=MARKS[0], markersize=4, label="of what was answered")
    free.plot(
        [], [], color=COLOURS[0], linewidth=1, alpha=0.6, marker="|", linestyle="", label="95 % interval"
    )
    free.plot([], [], color=COLOURS[0], linestyle=":", linewidth=1, label="share without an answer")
    free.plot([], [], color=COLOURS[0], linestyle="--", linewidth=1, alpha=0.6, label="constant answer")
    free.legend(loc="center", frameon=False)
