r"""Cells of tables that a spreadsheet may open: none of them runs as a formula.

Excel, LibreOffice and Google Sheets run a cell that begins with = + - @ or with their full-width forms,
East Asian versions of Excel among them. Which separator they split a line at depends on the country, so
that a cell also begins after ; , | or a tab within a text, and a cell of several lines at each of them.
An apostrophe in front makes it a text; who needs the words as they were takes it off again.
"""

from __future__ import annotations

import re

_SIGNS = "=+\\-@＝＋－＠﹦﹢﹣﹫"
_BREAKS = ";,|\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# what is passed over in front of a sign: quotation marks, blanks, and what has no width
_PASSED = (
    "\"'’‘“”\x00-\x08\x0e-\x1b\x1f-\x20\x7f-\x84\x86-\xa0\xad\u061c\u1680\u180e\u2000-\u200f"
    "\u202a-\u202f\u205f-\u206f\u3000\ufeff"
)
# at the start of a text every blank is passed over, line ends among them
_ACTS = re.compile(
    rf"^(?=[{_PASSED}{_BREAKS}]*+[{_SIGNS}])|(?<=[{_BREAKS}])(?=[{_PASSED}]*+[{_SIGNS}])", re.ASCII
)


def guarded(text: str) -> str:
    r"""Put an apostrophe before all that a spreadsheet could run.

    >>> guarded("=1+1"), guarded("fine; =1+1"), guarded("well -- yes\n＝A1"), guarded("a-b")
    ("'=1+1", "fine;' =1+1", "well -- yes\n'＝A1", 'a-b')
    """
    return _ACTS.sub("'", text)
