"""`trivalent check`: what is understood of a file, in a few lines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say, say_json
from trivalent.core.messages import chosen_language, said


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "check", help="tell how a file is read: tracks, speech, faces, encoding, cues", description=__doc__
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a recording, a text, a transcript, a list or a table of OpenFace",
    )
    command.add_argument("--audio-track", type=int, metavar="N", help="sound track to look at, from 1 on")
    command.add_argument("--json", action="store_true", help="one JSON object")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Check one file."""
    from trivalent.check import check

    found = check(arguments.file, audio_track=arguments.audio_track)
    if arguments.json:
        say_json(found.to_dict())
        return 0
    language = chosen_language()
    say("\n".join((found.name, *(f"  {fact.said(language)}" for fact in found.facts))))
    for warning in found.warnings:
        say(f"  ! {said(warning, language)}")
    return 0
