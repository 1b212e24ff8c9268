"""What a search found, to be read: tables, a picture, and the best recipe."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.spreadsheet import guarded
from trivalent.lab.benchmarks.figures import canvas
from trivalent.lab.fusion.tuning_journal import Journal, Trial
from trivalent.lab.fusion.tuning_space import Choices, Range, Space, with_values

_CHOSEN = (
    "epoch, votes, calibration and decision of a trial were chosen on a fifth of the training videos or "
    "speakers."
)
_OPTIMISTIC = (
    "The best of many trials is chosen by its score, so that score is too good. `trivalent train` on "
    "best.yaml scores it on test, once.",
    "Trial 0 is the recipe as it stands.",
)
_COLUMNS = 3  # panels beside each other
_INK, _LINE, _PALE = "#1c2529", "#1f5f7a", "#9fb4bd"


def write_tables(journal: Journal, space: Space) -> None:
    """Write trials.csv, trials.md and best.yaml anew."""
    write_text_atomic(journal.folder / "trials.csv", _csv(journal.trials, space))
    write_text_atomic(journal.folder / "trials.md", _markdown(journal, space))
    write_text_atomic(journal.folder / "best.yaml", _best(journal))


def _csv(trials: Sequence[Trial], space: Space) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "macro_f1", *map(guarded, space), "by_seed", "seconds", "failed"])
    for trial in trials:
        cells = ["" if key not in trial.values else _exact(trial.values[key]) for key in space]
        by_seed = " ".join(f"{score:.6f}" for score in trial.scores)
        score = "" if trial.score is None else f"{trial.score:.6f}"
        told = (*cells, by_seed, f"{trial.seconds:.2f}", trial.reason)
        writer.writerow([trial.number, score, *map(guarded, told)])
    return text.getvalue()


def _markdown(journal: Journal, space: Space) -> str:
    """Lay the trials out, the best first; what failed comes last, with its reason."""
    ranked = sorted(journal.trials, key=lambda t: -1.0 if t.score is None else t.score, reverse=True)
    lines = [
        f"# Search of {_cell(str(journal.about['recipe'].get('name')))}",
        "",
        f"{len(journal.trials)} trials, seed {journal.about['seed']}.",
        f"Macro-F1 is the mean over seeds {_judged_on(journal)}, which judged and chose nothing: {_CHOSEN}",
        *_OPTIMISTIC,
        "",
        "| trial | macro-F1 | seeds, least to greatest | "
        + " | ".join(f"`{_cell(key)}`" for key in space)
        + " | seconds |",
        "|---" * (len(space) + 4) + "|",
    ]
    for trial in ranked:
        score, spread = "failed", _cell(trial.reason)
        if trial.score is not None:
            score, spread = f"{trial.score:.3f}", f"{min(trial.scores):.3f} to {max(trial.scores):.3f}"
        cells = [_cell(_short(trial.values[key])) if key in trial.values else "" for key in space]
        lines.append(
            f"| {trial.number} | {score} | {spread} | " + " | ".join(cells) + f" | {trial.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _judged_on(journal: Journal) -> str:
    folds = journal.about["folds"]
    return f"in {folds} folds of training and validation" if folds else "on the validation part"


def _best(journal: Journal) -> str:
    """Write the recipe of the best trial, which `trivalent train` takes as it is."""
    import yaml

    best = journal.best()
    head = (
        f"# Found by `trivalent tune`: trial {best.number} of {len(journal.trials)}, macro-F1 "
        f"{best.score:.3f} {_judged_on(journal)};\n# the recipe as it stood has "
        f"{journal.trials[0].score:.3f}. The best of many is optimistic: only test tells.\n"
    )
    recipe = with_values(journal.about["recipe"], best.values)
    return head + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, default_flow_style=None)


def write_picture(journal: Journal, space: Space) -> Path:
    """Write trials.png: scores in the order of the trials, then against each option.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    judged = [trial for trial in journal.trials if trial.score is not None]
    columns = min(_COLUMNS, 1 + len(space))
    rows = -(-(1 + len(space)) // columns)
    figure, axes = canvas(3.9 * columns, 3.1 * rows, columns=columns, rows=rows)
    panels = axes.ravel()
    _draw_history(panels[0], judged)
    for panel, (key, option) in zip(panels[1:], space.items(), strict=False):
        _draw_option(panel, key, option, judged)
    for panel in panels[1 + len(space) :]:
        panel.set_axis_off()
    for row in axes:
        row[0].set_ylabel("macro-F1, out of sample")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return write_bytes_atomic(journal.folder / "trials.png", picture.getvalue())


def _draw_history(axes: Any, judged: Sequence[Trial]) -> None:
    numbers, scores = [t.number for t in judged], [t.score or 0.0 for t in judged]
    best = [max(scores[: i + 1]) for i in range(len(scores))]
    axes.plot(numbers, scores, "o", color=_PALE, markersize=5, label="trial")
    axes.step(numbers, best, where="post", color=_LINE, label="best so far")
    axes.axhline(scores[0], color=_INK, linewidth=0.9, linestyle="--", label="recipe as it stands")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial")
    axes.legend(frameon=False, fontsize=8)


def _draw_option(axes: Any, key: str, option: Choices | Range, judged: Sequence[Trial]) -> None:
    """Draw scores against the values of an option, the best trial and the recipe's line beside them."""
    tried = [trial for trial in judged if key in trial.values]
    best = max(tried, key=lambda trial: trial.score or 0.0, default=None)
    places = [trial.values[key] for trial in tried]
    if isinstance(option, Choices):
        places = [option.values.index(value) for value in places]
    colours = [_LINE if trial is best else _PALE for trial in tried]
    axes.scatter(places, [trial.score for trial in tried], c=colours, s=28)
    axes.axhline(judged[0].score, color=_INK, linewidth=0.9, linestyle="--")
    if isinstance(option, Choices):
        axes.set_xticks(range(len(option.values)), [_short(v)[:18] for v in option.values])
        axes.set_xlim(-0.5, len(option.values) - 0.5)
    else:
        axes.set_xlim(*_with_margin(option))
        axes.set_xscale("log" if option.log else "linear")
    axes.set_xlabel(key)


def _with_margin(option: Range) -> tuple[float, float]:
    """Widen a range so that values at its ends are drawn whole."""
    if option.log:
        ratio = (option.high / option.low) ** 0.05
        return option.low / ratio, option.high * ratio
    margin = 0.05 * (option.high - option.low)
    return option.low - margin, option.high + margin


def _exact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _exact(value)


def _cell(text: str) -> str:
    """Write a text that is no more than a cell in a table of Markdown."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


__all__ = ["write_picture", "write_tables"]
