"""What a child process does: every parser of strangers' bytes, and every graph of a stranger's bundle.

A task takes its arguments by name, as JSON knows them, and `stages` for its progress; it answers with
what JSON knows.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.core.options import DECIDING, AnalyzerOptions

if TYPE_CHECKING:
    from trivalent.analyzer import Analyzer, Stages
    from trivalent.core.analysis import Analysis
    from trivalent.speech.transcripts import Transcript

Answer = dict[str, Any]
ANALYZERS = 2  # kept loaded


def analyze(
    path: str,
    *,
    name: str,
    kind: str | None,
    options: dict[str, Any],
    transcript: str | None,
    stages: Stages,
) -> Answer:
    """Analyse a file; see `Analyzer.analyze`."""
    given = None if transcript is None else _parsed(transcript)
    analyzer = _analyzer(options)
    return _told(analyzer.analyze(path, name=name, kind=kind, transcript=given, stages=stages))


def text(text: str, *, name: str, options: dict[str, Any], stages: Stages) -> Answer:
    """Analyse a text; see `Analyzer.analyze_text`."""
    return _told(_analyzer(options).analyze_text(text, name=name, stages=stages))


def probe(path: str, *, stages: Stages) -> Answer:
    """Tell what a file is: `kind` is video, audio, or None for what no decoder opens as either."""
    from trivalent.media.recording import media_kind

    return {"kind": media_kind(path)}


def transcript(data: str, *, name: str, stages: Stages) -> Answer:
    """Check a transcript file (base64); `text` is what `analyze` takes as its transcript."""
    from trivalent.speech.transcripts import parse_transcript, to_srt

    parsed = parse_transcript(base64.b64decode(data), suffix=Path(name).suffix.lower(), name=name)
    return {"text": to_srt(parsed.cues) if parsed.timed else "\n".join(cue.text for cue in parsed.cues)}


def unpack(archive: str, *, name: str, folder: str, largest: int, stages: Stages) -> Answer:
    """Unpack a .zip of recordings; see `intake.unpack`. `outcomes` have a `path` or a `reason`."""
    from trivalent.work import batch_files as intake

    found = intake.unpack(name, Path(archive), Path(folder), largest=largest)
    return {
        "outcomes": [
            {"name": o.name, "path": str(o.path)}
            if isinstance(o, intake.Taken)
            else {"name": o.name, "reason": str(o.reason)}
            for o in found
        ]
    }


TASKS: dict[str, Callable[..., Answer]] = {
    "analyze": analyze,
    "text": text,
    "probe": probe,
    "transcript": transcript,
    "unpack": unpack,
}


def _parsed(text: str) -> Transcript:
    """Parse a transcript as the format that its content asks for."""
    from trivalent.speech.transcripts import parse_transcript

    timed = "-->" in text
    return parse_transcript(text.encode(), suffix=".srt" if timed else ".txt", name="the transcript")


def _told(analysis: Analysis) -> Answer:
    return {"analysis": analysis.to_dict(), "extras": analysis.extras_to_dict()}


def _analyzer(options: dict[str, Any]) -> Analyzer:
    from trivalent.bundle.loading import fingerprint

    chosen = AnalyzerOptions.from_dict(options)
    undecided: dict[str, Any] = dict.fromkeys(DECIDING)  # models are loaded once for all that decide
    return _loaded(replace(chosen, **undecided), fingerprint(chosen.model)).deciding(chosen)


@lru_cache(maxsize=ANALYZERS)
def _loaded(options: AnalyzerOptions, content: str) -> Analyzer:
    """Load a bundle; one that was replaced has another content and is loaded anew."""
    from trivalent.analyzer import Analyzer

    return Analyzer.of(options)
