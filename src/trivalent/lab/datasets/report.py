"""What `trivalent data info` tells of a data set, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.protocols import describe


def report(
    entry: Entry, root: Path, *, protocol: str | None = None, features: bool = False
) -> dict[str, Any]:
    """Read a data set and sum it up.

    Raises
    ------
    UsageError
        No such protocol.
    DataError
        The files are absent, damaged, or do not give the protocol's known counts.
    """
    described = entry.protocol(protocol)
    data = entry.read(root, described.name, features=features)
    content: dict[str, Any] = {
        "dataset": entry.name,
        "title": entry.title,
        "protocol": described.name,
        "description": described.description,
        "label_map": str(described.label_map) if described.label_map else None,
        "known_counts": "reproduced" if described.counts and not data.synthetic else "none known",
        "synthetic": data.synthetic,
        "splits": describe(data),
        "dropped": dict(data.dropped),
    }
    more = entry.extra
    return content | (dict(more(root)) if more else {})


def render_text(content: Mapping[str, Any]) -> str:
    """Lay the report out as plain text."""
    head = f"{content['dataset']}, protocol {content['protocol']}: {content['description']}"
    lines = [fill(head, 100, subsequent_indent="  ", break_on_hyphens=False)]
    if content["synthetic"]:
        lines.append(
            "SYNTHETIC: the feature values were drawn at random; no figure says anything about people"
        )
    lines += ["", *_classes(content["splits"]), *_seven(content["splits"]), *_durations(content["splits"])]
    lines += [*_features(content["splits"]), *_texts(content["splits"])]
    if content["dropped"]:
        lines += ["", "left out or repaired"]
        lines += [f"  {count:,} {what}" for what, count in content["dropped"].items()]
    if "distribution" in content:
        lines += ["", "where the classes of train come from"]
        for step in content["distribution"]:
            shares = " / ".join(f"{v:.1f}" for v in step["percent"].values())
            lines.append(f"{step['samples']:28}{step['label_map']:6}{step['count']:>8,}   {shares} %")
    return "\n".join(lines)


def _classes(splits: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{'':6}{'samples':>9}{'groups':>8}{'negative':>16}{'neutral':>16}{'positive':>16}{'ratio':>7}"
    ]
    for name, part in splits.items():
        cells = "".join(f"{part['classes'][c]:>8,} {part['percent'][c]:>5.1f} %" for c in part["classes"])
        lines.append(
            f"{name:6}{part['samples']:>9,}{part['groups']:>8,}{cells}{part['imbalance_ratio']:>7.1f}"
        )
    return lines


def _seven(splits: Mapping[str, Any]) -> list[str]:
    rows = {name: part["seven_percent"] for name, part in splits.items() if "seven_percent" in part}
    lines = [f"{name:6}" + "  ".join(f"{k} {v:.1f}" for k, v in row.items()) for name, row in rows.items()]
    return ["", "seven classes, %", *lines] if lines else []


def _durations(splits: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, part in splits.items():
        if spread := part.get("seconds"):
            lines.append(
                f"{name:6}median {spread['median']:.1f} s, 95 % below {spread['p95']:.1f} s, "
                f"{spread['total_h']:.1f} h in all"
            )
    return ["", "duration", *lines] if lines else []


def _features(splits: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, part in splits.items():
        for modality, gaps in part["features"].items():
            dead, constant = gaps["columns_without_any"], gaps["columns_constant"]
            notes = [
                f"{gaps['samples_without']:,} samples without",
                f"{gaps['cells_without_percent']} % of cells",
            ]
            notes += [f"nothing in {_short(dead)}"] if dead else []
            notes += [f"constant {_short(constant)}"] if constant else []
            lines.append(
                f"{name:6}{modality:6}{gaps['extractor']:10}{gaps['columns']:>5} columns; "
                + ", ".join(notes)
            )
    return ["", "features, and what is missing", *lines] if lines else []


def _short(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _texts(splits: Mapping[str, Any]) -> list[str]:
    rows = {name: part for name, part in splits.items() if "without_text" in part}
    told = [f"{name} {part['without_text']:,} of {part['samples']:,}" for name, part in rows.items()]
    return ["", "without text: " + ", ".join(told)] if told else []
