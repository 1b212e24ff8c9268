"""An archive of analyses for their owner to take away."""

from __future__ import annotations

import json
import secrets
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from trivalent.core.analysis import Analysis
from trivalent.core.errors import StoreError
from trivalent.report.writers import to_json, write_csv
from trivalent.store.entities import Record


@dataclass(frozen=True)
class Item:
    """One analysis of an archive."""

    record: Record
    analysis: Analysis
    media: Path | None


def write_archive(items: Iterable[Item], target: Path) -> Path:
    """Write `analyses/ID.json`, `media/ID.*`, `analyses.csv` and `records.json` into a zip.

    Files are named by ids: names that people gave are inside `records.json`.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    temporary = target.with_name(f".trivalent-{secrets.token_hex(8)}.zip")
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_DEFLATED) as archive:
            _fill(archive, items, scratch=temporary.with_suffix(".csv"))
        temporary.replace(target)
    except OSError as error:
        raise StoreError(
            "file.write", name=target.name, cause=error.strerror or error, parent=target.parent
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _fill(archive: zipfile.ZipFile, items: Iterable[Item], *, scratch: Path) -> None:
    records, analyses = [], []
    for item in items:
        record_id = item.record.id
        archive.writestr(f"analyses/{record_id}.json", to_json([item.analysis]))
        if item.media is not None:
            # recordings are compressed already
            archive.write(item.media, f"media/{item.media.name}", zipfile.ZIP_STORED)
        records.append(asdict(item.record) | {"created": item.record.created.isoformat()})
        analyses.append(item.analysis)
    archive.writestr("records.json", json.dumps(records, ensure_ascii=False, indent=2))
    try:
        write_csv(analyses, scratch)
        archive.write(scratch, "analyses.csv")
    finally:
        scratch.unlink(missing_ok=True)
