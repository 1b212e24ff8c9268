"""Modes of the folders and files that the store keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trivalent.store.privacy import make_private

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system knows no modes")


def test_a_file_that_goes_while_a_home_is_opened_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two programs open one home; an upload of the one ends while the other looks at it."""
    upload = tmp_path / "home" / "spool" / ".part-1"
    upload.parent.mkdir(parents=True)
    upload.touch(mode=0o644)
    chmod = Path.chmod

    def too_late(self: Path, mode: int) -> None:
        upload.unlink(missing_ok=True)
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", too_late)
    make_private(tmp_path / "home", within=[upload.parent, upload])
    assert "cannot be made private" not in caplog.text
