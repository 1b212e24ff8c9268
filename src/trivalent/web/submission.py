"""Handing work to the runner, and keeping for this session what is not to be kept."""

from __future__ import annotations

import base64
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from trivalent.core.errors import TranscriptError, TrivalentError
from trivalent.core.options import AnalyzerOptions
from trivalent.media.kinds import Kind
from trivalent.store import Job, Record
from trivalent.store.folders import suffix_of
from trivalent.web import state
from trivalent.web.page_recordings import use
from trivalent.work.pool import LOOK_S

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

TRANSCRIPT_MB = 2  # as much as a day of speech takes


@dataclass(frozen=True)
class Wishes:
    """How a recording is to be analysed; a transcript is only read when it is handed in."""

    modalities: Sequence[str] | None = None
    whisper: str = AnalyzerOptions.whisper
    transcript: UploadedFile | None = None
    keep_media: bool = False
    prior: tuple[float, ...] | None = None

    def options(self, kind: Kind) -> dict[str, Any]:
        """Render for the job of a file of this kind.

        Raises
        ------
        TranscriptError
            The transcript is too long, malformed or without words.
        """
        asked = AnalyzerOptions(
            state.chosen_model(),
            modalities=None if self.modalities is None else tuple(self.modalities),
            prior=self.prior,
            whisper=self.whisper,
        )
        transcript = None if self.transcript is None else _read(self.transcript)
        return {**asked.to_dict(), "kind": kind, "transcript": transcript}


def submit(name: str, content: bytes | Path, wishes: Wishes, *, kind: Kind) -> Job:
    """Queue a recording, or a text; this session keeps a copy to play.

    Parameters
    ----------
    name : str
        What the user calls it.
    content : bytes or Path
        A path is copied and stays where it is.

    Raises
    ------
    StoreError
        The queue is full, or the file cannot be stored.
    TranscriptError
        As `Wishes.options`.
    """
    user, options = state.user(), wishes.options(kind)
    copy = state.session_folder() / f"{secrets.token_hex(8)}{suffix_of(name)}"
    _write(content, copy)
    waiting = copy.with_name(f"{copy.stem}.waiting")
    shutil.copyfile(copy, waiting)  # the store takes its file away
    try:
        job = state.store().jobs.submit(
            user,
            name,
            waiting,
            options=options,
            keep_media=wishes.keep_media,
        )
    except TrivalentError:
        waiting.unlink(missing_ok=True)
        copy.unlink()
        raise
    _copies()[job.id] = copy
    state.runner().wake()
    return job


def _write(content: bytes | Path, target: Path) -> None:
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        target.write_bytes(content)


def finished(job: Job) -> None:
    """Carry this session's copy over from a job to its analysis."""
    if job.analysis_id is not None and job.id in _copies():
        _copies()[job.analysis_id] = _copies().pop(job.id)


def recording(record: Record) -> Path | None:
    """Find the recording of an analysis: the one that was kept, or what this session still has."""
    kept = state.history().media(record.id) if record.has_media else None
    copy = _copies().get(record.id)
    if kept is not None or copy is None or not copy.is_file():
        return kept
    use(copy)
    return copy


def _copies() -> dict[str, Path]:
    found: dict[str, Path] = st.session_state.setdefault("copies", {})
    return found


def _read(file: UploadedFile) -> str:
    """Text of a transcript as the job takes it; the same upload is read once."""
    known: tuple[str, str] | None = st.session_state.get("transcript")
    if known is None or known[0] != file.file_id:
        if file.size > TRANSCRIPT_MB * 1e6:
            raise TranscriptError(
                "transcript.upload_large", transcript_mb=TRANSCRIPT_MB, size=file.size / 1000000.0
            )
        known = st.session_state["transcript"] = (file.file_id, transcript_text(file.getvalue(), file.name))
    return known[1]


def transcript_text(data: bytes, name: str) -> str:
    """Check a transcript file and render it as the job takes it.

    Raises
    ------
    TranscriptError
        Malformed, or without words.
    """
    answer = state.ask_child("transcript", LOOK_S, data=base64.b64encode(data).decode(), name=name)
    return str(answer["text"])
