"""Tables of text as HTML: they wrap, scroll sideways on a phone, and need no script."""

from __future__ import annotations

from collections.abc import Sequence

from trivalent.report.renderer import esc


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> str:
    """Render a table; cells are plain text.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences of str
    numbers_from : int
        First column with figures, which are set to the right.
    """
    top = "".join(_cell("th", cell, i >= numbers_from) for i, cell in enumerate(head))
    body = "".join(
        "<tr>" + "".join(_cell("td", cell, i >= numbers_from) for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        '<div class="tv-scroll" tabindex="0" role="region"><table class="tv-table">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(kind: str, text: str, number: bool) -> str:
    mark = ' class="tv-number"' if number else ""
    return f'<{kind}{mark} dir="auto">{esc(text)}</{kind}>'
