"""The result folder of a fusion run: metrics, curves, confusion matrices, card."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.bundle.loading import Bundle
from trivalent.bundle.network import Network
from trivalent.core.errors import MissingExtraError
from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.types import LABELS
from trivalent.lab.measure.evaluation import TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

History = Mapping[str, Sequence[Mapping[str, float]]]
PARTS = ("validation", "test")


def write_results(bundle: Bundle[Network], *, history: History, out: Path) -> None:
    """Write metrics.json, curves.json, curves.png, confusion.png and card.md.

    Parameters
    ----------
    bundle : Bundle[Network]
    history : mapping of seed to sequence of epoch and macro_f1
        On the validation part.
    out : Path
        An existing folder.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    for name, content in (("metrics", bundle.metrics), ("curves", {"validation": history})):
        text = json.dumps(content, indent=1, allow_nan=False)
        write_text_atomic(out / f"{name}.json", text + "\n")
    for name, figure in (("curves", draw_curves(history)), ("confusion", draw_confusion(bundle.metrics))):
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
        write_bytes_atomic(out / f"{name}.png", picture.getvalue())
    write_text_atomic(out / "card.md", render_card(bundle))


def draw_curves(history: History) -> Figure:
    """Draw validation macro-F1 against epochs, a line for each seed, its best epoch marked."""
    figure = _figure(6.0, 3.6)
    axes = figure.subplots()
    for seed, steps in history.items():
        x, y = [s["epoch"] for s in steps], [s["macro_f1"] for s in steps]
        (line,) = axes.plot(x, y, linewidth=1.2, label=f"seed {seed}")
        best = max(range(len(y)), key=y.__getitem__)
        axes.plot(x[best], y[best], "o", color=line.get_color())
    axes.set(xlabel="epoch", ylabel="validation macro-F1")
    axes.grid(alpha=0.3)
    if len(history) <= 10:
        axes.legend(frameon=False, fontsize=8)
    return figure


def draw_confusion(metrics: Mapping[str, Any]) -> Figure:
    """Draw the confusion matrices of validation and test: counts, coloured by share of the true class."""
    figure = _figure(7.2, 3.6)
    for axes, part in zip(figure.subplots(1, len(PARTS)), PARTS, strict=True):
        found = metrics[part]["ensemble"]
        for i, row in enumerate(found["confusion"]):
            for j, count in enumerate(row):
                share = count / max(1, sum(row))
                axes.text(j, i, count, ha="center", va="center", color="white" if share > 0.5 else "black")
        shares = [[count / max(1, sum(row)) for count in row] for row in found["confusion"]]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(LABELS)), LABELS)
        axes.set_yticks(range(len(LABELS)), LABELS)
        axes.set(xlabel="predicted", ylabel="true", title=f"{part}, n {found['n']}")
    return figure


def render_card(bundle: Bundle[Network]) -> str:
    """Write the card in Markdown: what it is, what it was trained on, how good, what it cannot do."""
    card, data, metrics = bundle.card, bundle.fusion.data, bundle.metrics
    recipe, samples = card["recipe"], card["samples"]
    lines = [f"# {bundle.name}", ""]
    if data.synthetic:
        lines += ["**Synthetic features: the figures say nothing about people.**", ""]
    lines += [
        f"Sentiment in three classes from pooled features by the network `{recipe['network']}`, loss "
        f"`{recipe['loss']}`; the mean of the logits of {len(metrics['seeds'])} seeds.",
        "",
        "## Data",
        f"- {data.name}, protocol {data.protocol}: {card['title']} ({card['homepage']})",
        f"- {samples['train']} samples to train, {samples['validation']} to choose, {samples['test']} to "
        "test",
        f"- {card['licence']}",
        "",
        "## Inputs",
        *(
            f"- {m}: extractor `{spec.encoder.extractor}`, {len(spec.cleaner.columns)} columns"
            for m, spec in bundle.fusion.modalities.items()
        ),
        "",
        "## Figures",
        "Epoch, calibration, decision rule and abstention were chosen on validation; test was scored once.",
        "Intervals are 95 %: of the mean over seeds (t, cut at the limits of the figure; none where it "
        "would reach from one to the other), of the bundle over videos or speakers.",
        "",
        *_table(metrics),
        "",
        "## Constant answers on test",
        *(
            f"- {name}: accuracy {own['accuracy']:.3f}, macro-F1 {own['macro_f1']:.3f}"
            for name, own in metrics["test"]["ensemble"]["baselines"].items()
        ),
        "",
        "## Prediction sets",
        f"- stated coverage {100 * (1 - bundle.decision.sets.alpha):.0f} %, "
        f"measured on test {100 * metrics['test']['ensemble']['sets']['coverage']:.1f} %; {card['sets']}",
        "",
        "## Limits",
        f"- {card['limits']}",
        "",
        "## Recipe",
        "```json",
        json.dumps(recipe, indent=1),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _table(metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "| figure | validation, mean | validation, bundle | test, mean | test, bundle |",
        "|---" * 5 + "|",
    ]
    for name, title in TITLES.items():
        cells = []
        for part in PARTS:
            mean, whole = metrics[part]["mean"][name], metrics[part]["ensemble"]["figures"][name]
            cells += [_cell(mean["mean"], mean), _cell(whole["value"], whole)]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _cell(value: float, bounds: Mapping[str, float | None]) -> str:
    interval = "" if bounds["low"] is None else f" [{bounds['low']:.3f}, {bounds['high']:.3f}]"
    return f"{value:.3f}{interval}"


def check_drawing() -> None:
    """Raise `MissingExtraError` unless matplotlib is installed."""
    _figure(1, 1)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train") from error
    return Figure(figsize=(width, height), layout="constrained")
