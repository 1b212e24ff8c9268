"""The report of `trivalent data info` as a page with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trivalent.core.types import LABELS
from trivalent.report.page import render_page
from trivalent.report.renderer import esc
from trivalent.report.wording import GLYPHS

_FOOTER = (
    "Counted from the files on this computer by `trivalent data info`; nothing in this page is loaded "
    "from, or sent to, a network."
)
_LEFT, _RIGHT, _ROW = 235, 705, 34  # px: where bars start, how far they reach, height of a row


def render_html(content: Mapping[str, Any]) -> str:
    """Lay the report out as a self-contained page: no script, no network."""
    splits: Mapping[str, Any] = content["splits"]
    parts = [
        '<section class="source"><header class="source-head">'
        f"<h2>{esc(content['dataset'])}, protocol {esc(content['protocol'])}</h2>"
        f"<p>{esc(content['title'])}</p><p>{esc(content['description'])}</p></header>",
        _card("Synthetic", f"<p>{esc(_SYNTHETIC)}</p>", "tv-warnings") if content["synthetic"] else "",
        _card("Samples and classes", _class_plot(splits) + _class_table(splits)),
        _card("Where the classes of train come from", _step_plot(content["distribution"]))
        if "distribution" in content
        else "",
        _card("Seven classes, share of samples", _seven_plot(splits))
        if _has(splits, "seven_percent")
        else "",
        _card("Duration", _duration_table(splits)) if _has(splits, "seconds") else "",
        _card("Features, and what is missing", _feature_table(splits)) if _has(splits, "features") else "",
        _card("Left out or repaired", _dropped(content["dropped"])) if content["dropped"] else "",
        "</section>",
    ]
    title = f"{content['dataset']}, {content['protocol']} · Trivalent"
    return render_page("\n".join(p for p in parts if p), title=title, kind="data set", footer=_FOOTER)


_SYNTHETIC = "The feature values were drawn at random: no figure from them says anything about people."


def _has(splits: Mapping[str, Any], key: str) -> bool:
    return any(part.get(key) for part in splits.values())


def _card(title: str, body: str, kind: str = "") -> str:
    return f'<section class="tv-card {kind}"><h3>{esc(title)}</h3>{body}</section>'


def _class_plot(splits: Mapping[str, Any]) -> str:
    rows = [(f"{name}, {part['samples']:,}", part["percent"]) for name, part in splits.items()]
    return _stacked(rows, "Share of the classes in each split")


def _step_plot(steps: Sequence[Mapping[str, Any]]) -> str:
    rows = [(f"{s['samples']}, {s['label_map']}", s["percent"]) for s in steps]
    words = (
        "The same annotations: each row changes which segments are samples (every one, or the first of "
        "each video) or how a score becomes a class (its sign, or the sign of the nearest integer)."
    )
    return f'<p class="lead">{esc(words)}</p>' + _stacked(rows, "Share of the classes, step by step")


def _stacked(rows: Sequence[tuple[str, Mapping[str, float]]], title: str) -> str:
    """Bars of three parts with sign and percentage in each part that has room."""
    pieces = []
    for i, (name, percent) in enumerate(rows):
        y, x = i * _ROW + 4, float(_LEFT)
        pieces.append(f'<text x="{_LEFT - 12}" y="{y + 17}" text-anchor="end">{esc(name)}</text>')
        for label in LABELS:
            width = (_RIGHT - _LEFT) * percent[label] / 100
            pieces.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="26" fill="var(--tv-{label})"/>'
            )
            if width > 30:
                words = f"{percent[label]:.1f}"
                words = f"{GLYPHS[label]} {words} %" if width > 62 else words
                pieces.append(
                    f'<text class="on-fill" x="{x + width / 2:.1f}" y="{y + 17}" text-anchor="middle">'
                    f"{words}</text>"
                )
            x += width
    return _svg("".join(pieces), len(rows) * _ROW, title) + _legend()


def _seven_plot(splits: Mapping[str, Any]) -> str:
    """Columns for -3 to +3, one group of bars for each split."""
    rows = {name: part["seven_percent"] for name, part in splits.items() if "seven_percent" in part}
    names = list(next(iter(rows.values())))
    top = max(max(row.values()) for row in rows.values())
    height, step = 170, 690 / len(names)
    width, pieces = step * 0.8 / len(rows), []
    for g, name in enumerate(names):
        label = LABELS[0] if name.startswith("-") else LABELS[2] if name.startswith("+") else LABELS[1]
        for i, row in enumerate(rows.values()):
            x, bar = g * step + i * width + 8, height * row[name] / top
            pieces.append(
                f'<rect x="{x:.1f}" y="{height - bar + 18:.1f}" width="{width - 3:.1f}" height="{bar:.1f}" '
                f'fill="var(--tv-{label})" fill-opacity="{1 - 0.28 * i:.2f}"/>'
                f'<text class="soft" x="{x + width / 2 - 1:.1f}" y="{height - bar + 13:.1f}" '
                f'text-anchor="middle">{row[name]:.1f}</text>'
            )
        middle = g * step + step * 0.4 + 8
        pieces.append(f'<text x="{middle:.1f}" y="{height + 36}" text-anchor="middle">{name}</text>')
    order = "Bars from left to right: " + ", ".join(rows) + "."
    title = "Share of the seven classes in each split"
    return _svg("".join(pieces), height + 44, title) + f'<p class="lead">{esc(order)}</p>'


def _svg(pieces: str, height: int, title: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 710 {height}" role="img" aria-label="{esc(title)}">{pieces}</svg>'
    )


def _legend() -> str:
    items = "".join(
        f'<li><svg class="tv-key"><rect width="28" height="18" fill="var(--tv-{label})"/></svg>'
        f"<b>{GLYPHS[label]}</b> {label}</li>"
        for label in LABELS
    )
    return f'<ul class="tv-legend">{items}</ul>'


def _class_table(splits: Mapping[str, Any]) -> str:
    head = ("split", "samples", "groups", *LABELS, "largest : smallest", "without text")
    rows = [
        (
            name,
            f"{part['samples']:,}",
            f"{part['groups']:,}",
            *(f"{part['classes'][label]:,}" for label in LABELS),
            f"{part['imbalance_ratio']:.1f}",
            f"{part['without_text']:,}" if "without_text" in part else "no texts",
        )
        for name, part in splits.items()
    ]
    return _table(head, rows)


def _duration_table(splits: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{s['median']:.1f} s", f"{s['p95']:.1f} s", f"{s['total_h']:.1f} h")
        for name, part in splits.items()
        if (s := part.get("seconds"))
    ]
    return _table(("split", "median", "95 % below", "in all"), rows)


def _feature_table(splits: Mapping[str, Any]) -> str:
    head = (
        "split",
        "modality",
        "extractor",
        "columns",
        "samples without",
        "cells without",
        "dead or constant",
    )
    rows = []
    for name, part in splits.items():
        for modality, gaps in part["features"].items():
            dead = [f"{c} (no value)" for c in gaps["columns_without_any"]]
            dead += [f"{c} (constant)" for c in gaps["columns_constant"]]
            told = ", ".join(dead[:6]) + (f" and {len(dead) - 6} more" if len(dead) > 6 else "")
            rows.append(
                (
                    name,
                    modality,
                    gaps["extractor"],
                    str(gaps["columns"]),
                    f"{gaps['samples_without']:,}",
                    f"{gaps['cells_without_percent']:.2f} %",
                    told or "none",
                )
            )
    return _table(head, rows)


def _dropped(counts: Mapping[str, int]) -> str:
    return _table(("what", "count"), [(what, f"{count:,}") for what, count in counts.items()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{esc(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{esc(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="figures"><tr>{top}</tr>{body}</table></div>'
