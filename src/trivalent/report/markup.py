"""Small pieces of safe HTML that the report is put together from."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trivalent.core.types import LABELS, FloatArray
from trivalent.report.wording import GLYPHS, percent

# C0 and C1 controls but tab and newline, direction overrides, lone surrogates, non-characters
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def esc(text: object) -> str:
    r"""Escape for an element or a double-quoted attribute.

    >>> esc('<b title="x">&\x00')
    '&lt;b title=&quot;x&quot;&gt;&amp;'
    """
    return html.escape(_ACTING.sub("", str(text)), quote=True)


def badge(label: str, words: str | None = None) -> str:
    """Fill with a sign and dark text: a label that is told apart without colour."""
    return f'<span class="badge {label}"><i>{GLYPHS[label]}</i> {esc(words or label)}</span>'


def stacked_bar(probabilities: FloatArray, *, title: str) -> str:
    """One bar, three patterned parts: negative on the left, positive on the right."""
    x, parts = 0.0, []
    for label, p in zip(LABELS, probabilities, strict=True):
        parts.append(
            f'<rect x="{100 * x:.2f}%" width="{100 * p:.2f}%" height="100%" fill="url(#p-{label})"/>'
        )
        x += float(p)
    return f'<svg class="stack" role="img" aria-label="{esc(title)}">{"".join(parts)}</svg>'


def three_bars(probabilities: FloatArray) -> str:
    """One row per class: sign, name, bar, share."""
    rows = "".join(
        f'<div class="bar"><span class="bar-name"><i>{GLYPHS[label]}</i> {label}</span>'
        f'<svg aria-hidden="true"><rect class="rail" width="100%" height="100%"/>'
        f'<rect width="{100 * p:.2f}%" height="100%" fill="url(#p-{label})"/></svg>'
        f'<span class="bar-value">{percent(float(p))}</span></div>'
        for label, p in zip(LABELS, probabilities, strict=True)
    )
    return f'<div class="bars">{rows}</div>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Definition list; names are escaped, values are HTML already."""
    return '<dl class="facts">' + "".join(f"<dt>{esc(k)}</dt><dd>{v}</dd>" for k, v in pairs) + "</dl>"


def value(item: Any) -> str:
    """Render what a model card may hold: text, numbers, lists and mappings, nested at will."""
    if isinstance(item, Mapping):
        if {"mean", "low", "high"} <= set(item):
            return f"{value(item['mean'])} ({value(item['low'])} to {value(item['high'])})"
        return facts([(spaced(str(k)), value(v)) for k, v in item.items()])
    if isinstance(item, list | tuple | set | frozenset):
        return "<ul>" + "".join(f"<li>{value(v)}</li>" for v in item) + "</ul>"
    if item is None:
        return "not stated"
    if isinstance(item, bool):
        return "yes" if item else "no"
    return f"{item:.4g}" if isinstance(item, float) else esc(item)


def spaced(name: str) -> str:
    """Turn `snake_case` and `camelCase` into words.

    >>> spaced("mouthSmileLeft"), spaced("frames_with_face"), spaced("macro_f1")
    ('mouth smile left', 'frames with face', 'macro F1')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").strip()
    lowered = words.lower() if words != words.upper() else words
    return re.sub(r"\bf1\b", "F1", lowered)


def measure(name: str, number: float) -> str:
    """One measured fact in words; a name that ends in `_s` is in seconds, in `_db` in decibels.

    >>> measure("voiced_s", 1.92), measure("frames_with_face", 14.0), measure("snr_db", 24.9)
    ('voiced 1.92 s', 'frames with face 14', 'snr 24.9 dB')
    """
    if name.endswith("_s"):
        return f"{spaced(name[:-2])} {number:.3g} s"
    if name.endswith("_db"):
        return f"{spaced(name[:-3])} {number:.3g} dB"
    return f"{spaced(name)} {number:.4g}"
