"""compression.png from compression.json: macro-F1 by latency and by size of the text graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.core.types import FloatArray
from trivalent.lab.benchmarks.figures import canvas, save

SEEDS = "fast, mean of the seeds"
SHIPPED = ("default", "fast")
WORTH = 0.5  # rows below have forgotten what they knew: told beside the figure, not drawn to scale
AXES = {"latency_ms": "median latency of the graph on one thread, ms", "size_mb": "size, MB"}
LEAST_PX = 15.0  # between two numbers
Points = dict[str, dict[str, float]]


def draw(folder: Path) -> Path:
    """Draw numbered points; the line joins what no other beats in both."""
    every = text_rows(json.loads((folder / "compression.json").read_text()))
    shown = {name: row for name, row in every.items() if row["mean_macro_f1"] > WORTH}
    lost = {name: row for name, row in every.items() if name not in shown}
    order = sorted(shown, key=lambda name: -shown[name]["mean_macro_f1"])
    figure, axes = canvas(13, 4.6, columns=3)
    figure.get_layout_engine().set(wspace=0.03)
    for axis, by in zip(axes[0, :2], AXES, strict=True):
        _panel(axis, by, shown)
    axes[0, 0].set_ylabel("mean macro-F1 of four test sets")
    _list(axes[0, 2], order, shown, lost)
    figure.canvas.draw()  # positions in pixels are known from here on
    for axis, by in zip(axes[0, :2], AXES, strict=True):
        _number(axis, [(shown[name][by], shown[name]["mean_macro_f1"]) for name in order])
    return save(figure, folder / "compression.png")


def _panel(axis: Any, by: str, shown: Points) -> None:
    best = front(shown, by)
    axis.plot(*([shown[n][key] for n in best] for key in (by, "mean_macro_f1")), color="#9aa5a9", zorder=1)
    for name, row in shown.items():
        colour, size = ("#c0392b", 60) if name in SHIPPED else ("#2d6a8e", 26)
        axis.scatter(row[by], row["mean_macro_f1"], s=size, color=colour, zorder=3)
    axis.set_xscale("log")
    axis.set_xlabel(AXES[by])
    axis.margins(0.05, 0.08)


def text_rows(content: Mapping[str, Any]) -> Points:
    """Return the means of all text graphs but those over seeds and the constant."""
    rows = {row["name"].removeprefix("words: "): row["metrics"] for row in content["rows"]}
    return {
        name: {key: value["mean"] for key, value in row.items()}
        for name, row in rows.items()
        if "mean_macro_f1" in row and "latency_ms" in row and name != SEEDS
    }


def front(rows: Points, by: str) -> list[str]:
    """Names of those that none beats in both macro-F1 and `by`, in the order of `by`."""
    best, kept = -1.0, []
    for name in sorted(rows, key=lambda name: (rows[name][by], -rows[name]["mean_macro_f1"])):
        if rows[name]["mean_macro_f1"] > best:
            best = rows[name]["mean_macro_f1"]
            kept.append(name)
    return kept


def _list(axis: Any, order: list[str], shown: Points, lost: Points) -> None:
    axis.set_axis_off()
    lines = [f"{i}  {name}  ({shown[name]['mean_macro_f1']:.3f})" for i, name in enumerate(order, 1)]
    lines += [f"below the axis: {name}  ({row['mean_macro_f1']:.3f})" for name, row in lost.items()]
    for i, line in enumerate(lines):
        main = i < len(order) and order[i] in SHIPPED
        axis.text(0.0, 1 - 0.07 * i, line, fontsize=9, va="top", weight="bold" if main else "normal")


def _number(axis: Any, points: list[tuple[float, float]]) -> None:
    """Write numbers beside their points, moved apart until none covers another."""
    at = axis.transData.transform(points)
    places: FloatArray = at + np.array([0.0, LEAST_PX])
    for _ in range(300):
        for others, least in ((places, LEAST_PX), (at, 0.8 * LEAST_PX)):
            gap = places[:, None] - others[None]
            far = np.linalg.norm(gap, axis=2)
            if others is places:
                np.fill_diagonal(far, np.inf)
            push = np.clip(least - far, 0, None)[..., None] * gap / np.maximum(far, 1e-6)[..., None]
            places = places + 0.2 * push.sum(1)
    places = axis.transData.inverted().transform(places)
    for i, (point, place) in enumerate(zip(points, places, strict=True), 1):
        axis.annotate(
            str(i), point, xytext=place, fontsize=8, ha="center", va="center", zorder=4,
            arrowprops={"arrowstyle": "-", "color": "#9aa5a9", "lw": 0.5, "shrinkA": 4, "shrinkB": 2},
        )  # fmt: skip
