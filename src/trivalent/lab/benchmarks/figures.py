"""Pictures of a benchmark: PNG files beside its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import MissingExtraError
from trivalent.core.types import LABELS, IntArray
from trivalent.lab.measure.result_files import Value
from trivalent.lab.measure.uncertainty import risk_coverage

COLOURS = ("#E74C3C", "#95A5A6", "#2ECC71")
_INK, _LINE = "#1c2529", "#1f5f7a"


def canvas(width: float, height: float, *, columns: int = 1, rows: int = 1) -> tuple[Any, Any]:
    """Make a figure that is drawn into a file, never on a screen.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train") from error
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label_distribution(counts: Mapping[str, NDArray[np.int64]], path: Path) -> Path:
    """Draw the share of each class in each split."""
    figure, axes = canvas(7, 0.7 + 0.55 * len(counts))
    axis, left = axes[0, 0], np.zeros(len(counts))
    shares = np.array([100 * n / n.sum() for n in counts.values()])
    for c, label in enumerate(LABELS):
        bars = axis.barh(list(counts), shares[:, c], left=left, color=COLOURS[c], label=label)
        axis.bar_label(bars, fmt="%.0f %%", label_type="center", color="#10171b", fontsize=9)
        left += shares[:, c]
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of the samples, %")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False)
    return save(figure, path)


def confusion_matrices(confusions: Mapping[str, IntArray], path: Path) -> Path:
    """Draw matrices side by side: share of each true class, and the mean count over seeds."""
    figure, axes = canvas(2.9 * len(confusions) + 0.4, 3.2, columns=len(confusions))
    for axis, (name, matrix) in zip(axes[0], confusions.items(), strict=True):
        shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(*matrix.shape):
            colour = "white" if shares[i, j] > 0.55 else _INK
            axis.text(j, i, f"{100 * shares[i, j]:.0f} %", ha="center", va="center", color=colour)
        axis.set_xticks(range(3), [label[:3] for label in LABELS])
        axis.set_yticks(range(3), [label[:3] for label in LABELS])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("predicted")
    axes[0, 0].set_ylabel("true class, test part")
    return save(figure, path)


def threshold_sensitivity(grid: Sequence[float], scores: NDArray[np.float64], path: Path) -> Path:
    """Draw validation macro-F1 over the threshold of the negative class, shape (seeds, thresholds)."""
    figure, axes = canvas(6.4, 3.6)
    axis = axes[0, 0]
    axis.plot(grid, scores.T, color=_LINE, alpha=0.25, linewidth=0.8)
    axis.plot(grid, scores.mean(axis=0), color=_LINE, linewidth=2.2, label="mean")
    best = scores.argmax(axis=1)
    chosen = [grid[i] for i in best]
    axis.plot(chosen, scores.max(axis=1), "o", color="#b0563a", label="best of each seed")
    axis.set_xlabel("threshold of the negative class")
    axis.set_ylabel("macro-F1 on validation")
    axis.legend(frameon=False)
    return save(figure, path)


def training_curves(curves: Mapping[str, NDArray[np.float64]], path: Path) -> Path:
    """Draw validation macro-F1 over the epochs; each curve (seeds, epochs)."""
    figure, axes = canvas(6.4, 3.6)
    axis = axes[0, 0]
    for i, (name, values) in enumerate(curves.items()):
        epochs, colour = np.arange(1, values.shape[1] + 1), f"C{i}"
        axis.plot(epochs, values.mean(axis=0), color=colour, label=name)
        low, high = values.min(axis=0), values.max(axis=0)
        axis.fill_between(epochs, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set_xlabel("epoch (shaded: all seeds)")
    axis.set_ylabel("macro-F1 on validation")
    axis.legend(frameon=False)
    return save(figure, path)


def weight_map(
    grid: Sequence[float], scores: NDArray[np.float64], names: tuple[str, str], path: Path
) -> Path:
    """Draw validation macro-F1 over the weights of a vote of two, shape (weights, weights)."""
    figure, axes = canvas(5.2, 4.3)
    axis = axes[0, 0]
    extent = (grid[0], grid[-1], grid[0], grid[-1])
    image = axis.imshow(scores, origin="lower", extent=extent, cmap="viridis", aspect="equal")
    axis.set_ylabel(f"weight of {names[0]}")
    axis.set_xlabel(f"weight of {names[1]}")
    figure.colorbar(image, label="macro-F1 on validation, mean of seeds")
    return save(figure, path)


def risk_coverage_curves(systems: Mapping[str, tuple[NDArray[np.float64], IntArray]], path: Path) -> Path:
    """Draw the error among the most confident validation samples; (confidence, correct) of each system."""
    figure, axes = canvas(6.4, 3.6)
    axis = axes[0, 0]
    for name, (confidence, correct) in systems.items():
        curve = risk_coverage(confidence, correct.astype(bool))
        axis.plot(curve.coverage, curve.risk, label=f"{name}, area {curve.area:.3f}")
    axis.set_xlabel("coverage: share of the validation samples that are answered")
    axis.set_ylabel("share of wrong answers on validation")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    return save(figure, path)


def heat_map(
    values: NDArray[np.float64],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    path: Path,
    framed: int = 0,
) -> Path:
    """Draw macro-F1 by training set (rows) and test set (columns).

    Parameters
    ----------
    values : array, shape (rows, columns)
    framed : int
        Cells of the diagonal that get a frame: trained and tested on the same corpus.
    """
    figure, axes = canvas(2.6 + 0.95 * len(columns), 1.5 + 0.5 * len(rows))
    axis = axes[0, 0]
    image = axis.imshow(values, cmap="viridis", aspect="auto")
    middle = (values.min() + values.max()) / 2
    for i, j in np.ndindex(*values.shape):
        weight, colour = ("bold", _INK) if i == j < framed else ("normal", _INK)
        colour = colour if values[i, j] > middle else "white"
        axis.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", color=colour, weight=weight)
    for i in range(framed):
        axis.plot(
            [i - 0.48, i + 0.48, i + 0.48, i - 0.48, i - 0.48],
            [i - 0.47, i - 0.47, i + 0.47, i + 0.47, i - 0.47],
            color="white",
            linewidth=2,
        )
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xlabel("tested on")
    axis.set_ylabel("trained on")
    axis.spines[:].set_visible(False)
    figure.colorbar(image, label="macro-F1 on test, mean of seeds")
    return save(figure, path)


def learning_curves(
    panels: Mapping[str, Mapping[str, Mapping[int, Value]]], path: Path, *, floors: Mapping[str, float]
) -> Path:
    """Draw macro-F1 over the number of training samples, with 95 % intervals.

    Parameters
    ----------
    panels : mapping
        By corpus and line (`ENCODER, CLASSIFIER`): number of samples to macro-F1.
    floors : mapping of str to float
        By corpus: the best that needs no model, a dotted line.
    """
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure, axes = canvas(3.6 * across + 0.4, 3.1 * down, columns=across, rows=down)
    encoders = list(dict.fromkeys(name.partition(", ")[0] for lines in panels.values() for name in lines))
    handles: dict[str, Any] = {}
    for axis, (corpus, lines) in zip(axes.ravel(), panels.items(), strict=False):
        for name, line in lines.items():
            encoder, _, head = name.partition(", ")
            colour = f"C{encoders.index(encoder)}"
            handles[name] = _curve(axis, line, colour=colour, dashed=head != "network")
        floor = axis.axhline(floors[corpus], color=_INK, linestyle=":")
        axis.set_xscale("log")
        axis.set_title(corpus, fontsize=10)
        ticks = sorted({n for line in lines.values() for n in line})
        axis.set_xticks(ticks, [f"{n:,}" for n in ticks], rotation=45, fontsize=8)
        axis.minorticks_off()
    for axis in axes.ravel()[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("training samples (last: all)", fontsize=10)
    figure.supylabel("macro-F1 on test, 95 % interval over seeds and groups", fontsize=10)
    handles["best without a model"] = floor
    if len(panels) < axes.size:
        axes.ravel()[-1].legend(handles.values(), handles, frameon=False, loc="center", fontsize=9)
    else:
        figure.legend(handles.values(), handles, frameon=False, loc="outside upper center", ncols=3)
    return save(figure, path)


def _curve(axis: Any, line: Mapping[int, Value], *, colour: str, dashed: bool) -> Any:
    x, values = list(line), list(line.values())
    means = [v.mean for v in values]
    drawn = axis.plot(
        x, means, color=colour, linestyle="--" if dashed else "-", marker="." if dashed else "o"
    )
    low = [v.mean if v.low is None else v.low for v in values]
    high = [v.mean if v.high is None else v.high for v in values]
    axis.fill_between(x, low, high, color=colour, alpha=0.08 if dashed else 0.2, linewidth=0)
    return drawn[0]


def save(figure: Any, path: Path) -> Path:
    """Write a picture whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    figure.savefig(partial, format="png")
    partial.replace(path)
    return path
