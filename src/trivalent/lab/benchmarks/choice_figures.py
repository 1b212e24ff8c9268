"""Pictures of the benchmarks on imbalance and fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.lab.benchmarks.figures import canvas, save
from trivalent.lab.measure.result_files import Value

_INK = "#1c2529"
_MARKS = "os^Dv"


def gain_maps(
    panels: Mapping[str, NDArray[np.float64]], *, rows: Sequence[str], columns: Sequence[str], path: Path
) -> Path:
    """Draw macro-F1 in cells, coloured by the gain over the first cell of the column in the first panel.

    Parameters
    ----------
    panels : mapping of str to array, shape (rows, columns)
        By decision; the first row of the first one is what all others are compared with.
    """
    base = next(iter(panels.values()))[0]
    widest = max(0.01, max(float(np.abs(values - base).max()) for values in panels.values()))
    figure, axes = canvas(
        2.6 + 0.95 * len(columns) * len(panels), 1.4 + 0.36 * len(rows), columns=len(panels)
    )
    for axis, (name, values) in zip(axes[0], panels.items(), strict=True):
        gain = values - base
        image = axis.imshow(gain, cmap="RdBu", vmin=-widest, vmax=widest, aspect="auto")
        best = values == values.max(axis=0)
        for i, j in np.ndindex(*values.shape):
            colour = "white" if abs(gain[i, j]) > 0.6 * widest else _INK
            weight = "bold" if best[i, j] else "normal"
            axis.text(
                j,
                i,
                f"{values[i, j]:.3f}",
                ha="center",
                va="center",
                color=colour,
                weight=weight,
                fontsize=8,
            )
        axis.set_title(name, fontsize=10)
        axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
        axis.set_yticks(range(len(rows)), rows if axis is axes[0, 0] else [""] * len(rows), fontsize=8)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    figure.colorbar(
        image, ax=axes[0, -1], label=f"macro-F1 on test minus that of {rows[0]}, argmax", aspect=40
    )
    return save(figure, path)


def foretold(panels: Mapping[str, Sequence[tuple[float, float, str]]], path: Path) -> Path:
    """Draw test over validation macro-F1 by problem; each row is (validation, test, kind)."""
    figure, axes = canvas(3.1 * len(panels) + 0.4, 3.4, columns=len(panels))
    kinds = list(dict.fromkeys(kind for points in panels.values() for _, _, kind in points))
    for axis, (name, points) in zip(axes[0], panels.items(), strict=True):
        for k, kind in enumerate(kinds):
            own = [(v, t) for v, t, of in points if of == kind]
            if own:
                axis.plot(
                    *zip(*own, strict=True),
                    _MARKS[k % len(_MARKS)],
                    color=f"C{k}",
                    alpha=0.7,
                    ms=5,
                    label=kind,
                )
        best = max(points, key=lambda point: point[0])
        axis.plot(*best[:2], "o", ms=12, mfc="none", mec=_INK, label="chosen on validation")
        axis.axhline(points[0][1], color=_INK, linestyle=":", linewidth=1, label="plain cross-entropy")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("macro-F1 on validation")
    axes[0, 0].set_ylabel("macro-F1 on test")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=len(labels), fontsize=8)
    return save(figure, path)


def missing_curves(
    panels: Mapping[tuple[str, str], Mapping[str, Sequence[float]]],
    *,
    rates: Sequence[float],
    floors: Mapping[str, float],
    path: Path,
) -> Path:
    """Draw macro-F1 over the share of modality values that are removed.

    Parameters
    ----------
    panels : mapping
        By problem and training: network to macro-F1 at each rate. Networks of one modality, whose
        names have an "on", are dashed.
    floors : mapping of str to float
        By problem: the best prediction that needs no model, a dotted line.
    """
    problems, trainings = (list(dict.fromkeys(key[i] for key in panels)) for i in (0, 1))
    figure, axes = canvas(
        4.6 * len(trainings) + 1.6, 3.6 * len(problems), columns=len(trainings), rows=len(problems)
    )
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    handles: dict[str, Any] = {}
    for (problem, training), lines in panels.items():
        axis = axes[problems.index(problem), trainings.index(training)]
        for name, values in lines.items():
            style = _line(name, [n for n in names if " on " not in n], [n for n in names if " on " in n])
            handles[name] = axis.plot(100 * np.asarray(rates), values, **style)[0]
        handles["best without a model"] = axis.axhline(floors[problem], color=_INK, linestyle=":")
        axis.set_title(f"{problem}, {training}", fontsize=10)
        axis.set_xticks([100 * rate for rate in rates])
    for row in axes:
        low, high = (f(axis.get_ylim()[i] for axis in row) for i, f in ((0, min), (1, max)))
        for axis in row:
            axis.set_ylim(low, high)
    figure.supxlabel("modality values removed at random from the test part, %", fontsize=10)
    figure.supylabel("macro-F1 on test, mean of seeds", fontsize=10)
    ordered = [name for name in [*names, "best without a model"] if name in handles]
    figure.legend(
        [handles[n] for n in ordered], ordered, frameon=False, loc="outside right center", fontsize=8
    )
    return save(figure, path)


def _line(name: str, networks: Sequence[str], single: Sequence[str]) -> dict[str, Any]:
    if name in single:
        return {"color": "0.55", "linestyle": "--", "marker": _MARKS[single.index(name)], "ms": 4}
    k = networks.index(name)
    style = {"color": f"C{k % 10}", "marker": _MARKS[k // 10], "ms": 4, "linewidth": 1.4}
    return style | ({"linewidth": 2.6, "color": _INK} if name == "mean of networks" else {})


def subset_bars(panels: Mapping[str, Mapping[str, Mapping[str, Value]]], path: Path) -> Path:
    """Draw macro-F1 by subset of modalities: problem, line, subset to value with its interval."""
    figure, axes = canvas(4.8 * len(panels), 4.4, columns=len(panels))
    for axis, (problem, lines) in zip(axes[0], panels.items(), strict=True):
        subsets = list(dict.fromkeys(name for line in lines.values() for name in line))
        for k, (name, line) in enumerate(lines.items()):
            places = [subsets.index(s) + (k - (len(lines) - 1) / 2) * 0.12 for s in line]
            means = np.array([v.mean for v in line.values()])
            spans = [
                (v.mean if v.low is None else v.low, v.mean if v.high is None else v.high)
                for v in line.values()
            ]
            low, high = np.array(spans).T
            axis.errorbar(
                means,
                places,
                xerr=[means - low, high - means],
                fmt=_MARKS[k % 5],
                color=f"C{k}",
                ms=5,
                label=name,
            )
        axis.set_yticks(range(len(subsets)), subsets, fontsize=8)
        axis.invert_yaxis()
        axis.set_title(problem, fontsize=10)
        axis.grid(axis="y", alpha=0.2)
        axis.set_xlabel("macro-F1 on test, 95 % interval over seeds and groups")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=2, fontsize=8)
    return save(figure, path)
