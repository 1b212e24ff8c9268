"""Options of the commands that analyse: the fields of `AnalyzerOptions`."""

from __future__ import annotations

import argparse

from trivalent.core.errors import UsageError
from trivalent.core.options import (
    AUDIO_TRACKS,
    AUTO,
    FACE_RATES_HZ,
    LANGUAGES,
    THREADS,
    AnalyzerOptions,
)
from trivalent.core.types import LABELS, Modality


def add_analyzer_options(command: argparse.ArgumentParser) -> None:
    """Add what tells how a source is analysed."""
    usual = AnalyzerOptions()
    command.add_argument("--model", default=usual.model, metavar="NAME|PATH", help="bundle to use")
    command.add_argument("--modalities", metavar="LIST", help=f"only these of {','.join(Modality)}")
    command.add_argument(
        "--thresholds", metavar="LIST", help=f"for {','.join(LABELS)}: argmax p/threshold decides"
    )
    command.add_argument("--min-confidence", type=float, metavar="P", help="abstain below P")
    command.add_argument(
        "--prior", metavar="LIST", help=f"expected shares of {','.join(LABELS)}, for example 0.3,0.4,0.3"
    )
    command.add_argument(
        "--whisper",
        default=usual.whisper,
        metavar="SIZE",
        help=f"size of the speech recogniser: {usual.whisper}, base, small, ...",
    )
    command.add_argument(
        "--language",
        choices=(AUTO, *LANGUAGES),
        default=usual.language,
        metavar="CODE",
        help=f"language of the words: en, zh, ...; {AUTO} tells it for each utterance",
    )
    command.add_argument(
        "--face-rate",
        type=float,
        default=usual.face_rate_hz,
        metavar="HZ",
        help="frames looked at per second",
    )
    command.add_argument(
        "--audio-track",
        type=int,
        metavar="N",
        help="sound track, from 1 on; one with speech if not given",
    )
    command.add_argument(
        "--threads", type=int, default=usual.threads, metavar="N", help="threads of each model"
    )


def options_from(arguments: argparse.Namespace) -> AnalyzerOptions:
    """Build the options that a command was given; --threads may have no default.

    Raises
    ------
    UsageError
        A value cannot be meant.
    """
    threads = AnalyzerOptions.threads if arguments.threads is None else arguments.threads
    FACE_RATES_HZ.check(arguments.face_rate, named="--face-rate")
    THREADS.check(threads, named="--threads")
    if arguments.audio_track is not None:
        AUDIO_TRACKS.check(arguments.audio_track, named="--audio-track")
    return AnalyzerOptions(
        arguments.model,
        modalities=_names(arguments.modalities),
        thresholds=_numbers(arguments.thresholds, "--thresholds"),
        min_confidence=arguments.min_confidence,
        prior=_numbers(arguments.prior, "--prior"),
        whisper=arguments.whisper,
        language=arguments.language,
        face_rate_hz=arguments.face_rate,
        audio_track=arguments.audio_track,
        threads=threads,
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError("cli.numbers", option=option, text=text) from None
