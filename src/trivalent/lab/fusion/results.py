"""The result folder of a fusion run: metrics, curves, confusion matrices, attention, card."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.bundle.loading import Bundle
from trivalent.bundle.network import Network
from trivalent.core.errors import MissingExtraError
from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.types import LABELS
from trivalent.lab.measure.evaluation import TITLES
from trivalent.lab.measure.score_report import SCORE_TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Seeds = Mapping[str, Sequence[Mapping[str, float]]]
Curves = Mapping[str, Seeds]
Read = Mapping[str, Any]
CURVES = {"loss": "loss", "macro_f1": "macro-F1", "mae": "MAE of the score"}  # by epoch
COLOURS = {"train": "#E69F00", "validation": "#0072B2"}  # told apart without red and green
SAYS = {
    "sentiment3": "Sentiment in three classes",
    "score": "Sentiment in three classes and as a score from -3 to 3",
    "seven": "Sentiment in seven ordered classes, which add up to three and whose mean is a score,",
}
PARTS = ("validation", "test")


def write_results(bundle: Bundle[Network], *, curves: Curves, read: Read | None, out: Path) -> None:
    """Write metrics.json, curves.json, card.md and the pictures.

    Parameters
    ----------
    bundle : Bundle[Network]
    curves : mapping of part (train, validation) to mapping of seed to sequence of figures by epoch
    read : mapping of modality to share by head, optional
        What an attention network read.
    out : Path
        An existing folder.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    documents: dict[str, Any] = {"metrics": bundle.metrics, "curves": curves}
    figures = {"curves": draw_curves(curves), "confusion": draw_confusion(bundle.metrics)}
    if read is not None:
        documents["attention"] = read
        figures["attention"] = draw_attention(read)
    if "scores" in bundle.metrics["test"]:
        figures["scores"] = draw_scores(bundle.metrics)
    for name, content in documents.items():
        text = json.dumps(content, indent=1, allow_nan=False)
        write_text_atomic(out / f"{name}.json", text + "\n")
    for name, figure in figures.items():
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
        write_bytes_atomic(out / f"{name}.png", picture.getvalue())
    write_text_atomic(out / "card.md", render_card(bundle))


def draw_curves(curves: Curves) -> Figure:
    """Draw each figure against epochs: thin lines for seeds, thick ones for their means, the best marked.

    The best epoch is that of the validation figure that epochs are chosen by.
    """
    seeds = curves["validation"].values()
    names = [name for name in CURVES if all(name in step for steps in seeds for step in steps)]
    figure = _figure(4.2 * len(names), 3.6)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for part, colour in COLOURS.items():
            _draw_part(axes, curves[part], name, part=part, colour=colour)
        if name == names[-1] or len(names) == 1:
            _mark_best(axes, seeds, name)
        axes.set(xlabel="epoch", ylabel=CURVES[name])
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_part(axes: Axes, seeds: Seeds, name: str, *, part: str, colour: str) -> None:
    lines = [[step[name] for step in steps] for steps in seeds.values()]
    epochs = [step["epoch"] for step in next(iter(seeds.values()))]
    for values in lines:
        axes.plot(epochs, values, color=colour, linewidth=0.6, alpha=0.4)
    means = [sum(values) / len(values) for values in zip(*lines, strict=True)]
    axes.plot(epochs, means, color=colour, linewidth=2, label=part)


def _mark_best(axes: Axes, seeds: Iterable[Sequence[Mapping[str, float]]], name: str) -> None:
    """Mark the epoch that was kept of each seed: the first with the best figure."""
    sign = -1 if name == "mae" else 1
    kept = [max(steps, key=lambda step: sign * step[name]) for steps in seeds]
    x, y = [step["epoch"] for step in kept], [step[name] for step in kept]
    axes.plot(x, y, "o", color=COLOURS["validation"], markersize=5, label="epoch kept")


def draw_confusion(metrics: Mapping[str, Any]) -> Figure:
    """Draw the confusion matrices of validation and test: counts, coloured by share of the true class."""
    figure = _figure(7.2, 3.6)
    for axes, part in zip(figure.subplots(1, len(PARTS)), PARTS, strict=True):
        found = metrics[part]["ensemble"]
        _draw_matrix(axes, found["confusion"], LABELS)
        axes.set(xlabel="predicted", ylabel="true", title=f"{part}, n {found['n']}")
    return figure


def draw_scores(metrics: Mapping[str, Any]) -> Figure:
    """Draw the annotated against the predicted scores, both rounded, as confusion matrices of seven."""
    figure = _figure(8.4, 4.8)
    steps = [f"{step:+d}" if step else "0" for step in range(-3, 4)]
    for axes, part in zip(figure.subplots(1, len(PARTS)), PARTS, strict=True):
        found = metrics[part]["scores"]["ensemble"]
        _draw_matrix(axes, found["confusion7"], steps)
        error = found["figures"]["mae"]["value"]
        title = f"{part}, n {found['n']}, MAE {error:.2f}"
        axes.set(xlabel="predicted score, rounded", ylabel="annotated score, rounded", title=title)
    return figure


def draw_attention(read: Read) -> Figure:
    """Draw the share of each modality in what was read: a bar for the mean, a dot for each head."""
    figure = _figure(4.8, 3.6)
    axes = figure.subplots()
    for place, (modality, heads) in enumerate(read["heads"].items()):
        mean = sum(heads) / len(heads)
        axes.bar(place, mean, color="#56B4E9", width=0.6)
        axes.annotate(f"{mean:.2f}", (place - 0.27, mean), textcoords="offset points", xytext=(0, 3))
        axes.plot([place + 0.12] * len(heads), heads, "o", color="black", markersize=4, alpha=0.7)
        axes.text(place, -0.02, modality, ha="center", va="top", transform=axes.get_xaxis_transform())
    axes.axhline(1 / len(read["heads"]), color="grey", linestyle=":", linewidth=1)
    title = f"validation, n {read['samples']} with all modalities\nwhat was read, not what decided"
    axes.set(ylabel="share of the attention", ylim=(0, 1), title=title)
    axes.set_xticks([])
    return figure


def _draw_matrix(axes: Axes, confusion: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            colour = "white" if shares[i][j] > 0.5 else "black"
            axes.text(j, i, str(count), ha="center", va="center", color=colour)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)


def render_card(bundle: Bundle[Network]) -> str:
    """Write the card in Markdown: what it is, what it was trained on, how good, what it cannot do."""
    card, data, metrics = bundle.card, bundle.fusion.data, bundle.metrics
    recipe, samples = card["recipe"], card["samples"]
    said = SAYS[recipe["task"].get("target", "sentiment3")]
    lines = [f"# {bundle.name}", ""]
    if data.synthetic:
        lines += ["**Synthetic features: the figures say nothing about people.**", ""]
    lines += [
        f"{said} from pooled features by the network `{recipe['network']}`, loss "
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
        *_score_lines(metrics),
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


def _score_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Tell what the scores are worth; nothing of a network without."""
    if "scores" not in metrics["test"]:
        return []
    lines = ["", "## Scores from -3 to 3", "Acc-5, Acc-7, F1-5 and F1-7: rounded, ties to even.", ""]
    constants = metrics["test"]["scores"]["ensemble"]["constants"]
    heads = ["figure", *(f"{part}, bundle" for part in PARTS), *(f"test, {name}" for name in constants)]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, title in SCORE_TITLES.items():
        own = [metrics[part]["scores"]["ensemble"]["figures"][name] for part in PARTS]
        cells = [_cell(v["value"], v) for v in own]
        cells += [_cell(v[name], {"low": None}) for v in constants.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _cell(value: float | None, bounds: Mapping[str, float | None]) -> str:
    if value is None:
        return "undefined"
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
