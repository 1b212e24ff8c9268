"""One list of suffixes: what `analyze` reads, a batch, a zip and the history take as well."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from conftest import REPOSITORY
from trivalent.core.assets import DATA
from trivalent.media import kinds
from trivalent.store.folders import suffix_of
from trivalent.work.batch_files import Taken, examine
from trivalent.work.sources import find_sources


def test_the_page_says_what_the_list_says() -> None:
    page = (REPOSITORY / "docs" / "batch.md").read_text(encoding="utf-8")
    table = page.split("<!-- kinds -->")[1].split("<!-- end -->")[0]
    rows = {
        row.split("|")[1].strip(): set(re.findall(r"\.\w+", row))
        for row in table.splitlines()
        if "." in row
    }
    assert rows == {"video": set(kinds.VIDEO), "sound": set(kinds.SOUND), "text": set(kinds.TEXT)}


def test_every_entrance_takes_the_same(tmp_path: Path) -> None:
    sample = DATA / "samples" / "sample.mp4"
    for suffix in kinds.SUFFIXES:
        shutil.copy(sample, tmp_path / f"talk{suffix}")
    assert {Path(name).suffix for name in find_sources(tmp_path, texts=True).shown} == kinds.SUFFIXES
    for suffix in kinds.SUFFIXES:
        assert isinstance(examine(f"talk{suffix.upper()}", tmp_path / f"talk{suffix}"), Taken)
        assert suffix_of(f"talk{suffix.upper()}") == suffix


def test_a_program_is_no_recording() -> None:
    assert ".exe" not in kinds.SUFFIXES
    assert suffix_of("a.exe") == ".bin"
