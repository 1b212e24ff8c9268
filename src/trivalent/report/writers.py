"""Writers of an analysis: JSON text, CSV, and a self-contained HTML page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trivalent.core.analysis import ROW_TYPES, Analysis
from trivalent.core.errors import TrivalentError
from trivalent.core.files import write_text_atomic
from trivalent.core.outside import escaped_json
from trivalent.core.spreadsheet import guarded
from trivalent.report.page import report_page
from trivalent.report.wording import Wording

SCHEMA_MANY = "trivalent.analyses/1"

Failures = Sequence[tuple[str, str]]  # (source, one-line reason)


def to_json(analyses: Sequence[Analysis], *, failures: Failures = ()) -> str:
    """Render as one JSON document.

    Parameters
    ----------
    analyses : sequence of Analysis
    failures : sequence of (source, reason)
        Sources that could not be analysed.

    Returns
    -------
    str
        The analysis itself when there is exactly one and no failure, else
        `{"schema": "trivalent.analyses/1", "analyses": [...], "failures": [...]}`.

    Raises
    ------
    TrivalentError
        A number is NaN or infinite, which JSON cannot say.
    """
    document: dict[str, Any]
    if len(analyses) == 1 and not failures:
        document = analyses[0].to_dict()
    else:
        document = {
            "schema": SCHEMA_MANY,
            "analyses": [a.to_dict() for a in analyses],
            "failures": [{"source": source, "reason": reason} for source, reason in failures],
        }
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    except ValueError as error:
        raise TrivalentError("analysis.report_finite", error=error) from error
    # also lone surrogates of an undecodable file name, which UTF-8 cannot carry
    return escaped_json(text)


def write_csv(analyses: Sequence[Analysis], path: str | Path) -> Path:
    """Write one row per utterance; every file has the same header, whatever the modalities.

    Text that a spreadsheet would run as a formula is disarmed (see `spreadsheet.guarded`). UTF-8,
    RFC 4180 quoting, written at once.

    Raises
    ------
    TrivalentError
        The file cannot be written.
    """
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(ROW_TYPES), lineterminator="\r\n")
    writer.writeheader()
    for row in (row for analysis in analyses for row in analysis.rows()):
        writer.writerow({k: guarded(v) if isinstance(v, str) else v for k, v in row.items()})
    return write_text_atomic(path, buffer.getvalue())


def write_html(
    analyses: Sequence[Analysis],
    path: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    failures: Failures = (),
    say: Wording | None = None,
) -> Path:
    """Write one self-contained page: no script, no network, no other file.

    Parameters
    ----------
    analyses : sequence of Analysis
        Several get an index on top.
    path : str or Path
    card : mapping, optional
        Model card: data, licence, metrics, limits; any nesting of mappings and lists.
    failures : sequence of (source, reason)
        Sources that could not be analysed, listed in the index.
    say : Wording, optional
        In whose language the page is; English by default.

    Raises
    ------
    TrivalentError
        The file cannot be written.
    """
    return write_text_atomic(path, to_html(analyses, card=card, failures=failures, say=say))


def to_html(
    analyses: Sequence[Analysis],
    *,
    card: Mapping[str, Any] | None = None,
    failures: Failures = (),
    say: Wording | None = None,
) -> str:
    """Render the page that `write_html` writes."""
    return report_page(analyses, card=card, failures=failures, say=say or Wording())
