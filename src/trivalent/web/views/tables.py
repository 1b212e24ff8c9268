"""Tables of text as HTML: they wrap, scroll sideways on a phone, and need no script."""

from __future__ import annotations

from collections.abc import Sequence

from trivalent.web.views.drawing import renderer


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> str:
    """Render a table; cells are plain text.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences of str
    numbers_from : int
        First column with figures, which are set to the right.
    """
    return renderer().draw("table.html", head=head, rows=rows, numbers_from=numbers_from)
