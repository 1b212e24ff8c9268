"""`trivalent extract`: features of any media file as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.core.errors import UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.features import EXTERNAL, EXTRACTORS


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "extract", help="write features of a recording or text", description=__doc__
    )
    command.add_argument(
        "extractor",
        choices=sorted(EXTRACTORS | EXTERNAL),
        metavar="EXTRACTOR",
        help=f"{', '.join(EXTRACTORS)}; openface: your own OpenFace, or a CSV of it",
    )
    command.add_argument("source", type=Path, metavar="SOURCE", help="video, audio or text file")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="F",
        help="table to write: .npz, .csv or .parquet",
    )
    command.add_argument("--columns", default=None, metavar="LIST", help="only these columns")
    command.add_argument("--landmarks", action="store_true", help="face: also the 478 landmarks")
    command.add_argument(
        "--face-rate",
        type=float,
        default=AnalyzerOptions.face_rate_hz,
        metavar="HZ",
        help="face: frames per second",
    )
    command.add_argument("--transcript", type=Path, metavar="F", help="words instead of recognition")
    command.add_argument("--glove-file", type=Path, metavar="F", help="glove: a GloVe text file")
    command.add_argument("--rd", choices=("head", "legacy"), default="head", help="covarep: version of Rd")
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="covarep: seed of the random phases"
    )
    command.add_argument(
        "--creak-weights", type=Path, metavar="DIR", help="covarep: the toolbox's own creak network"
    )
    command.add_argument("--strict", action="store_true", help="covarep: the toolbox's zeros, no gaps")
    command.add_argument(
        "--timeout",
        type=float,
        default=3600.0,
        metavar="S",
        help="openface: seconds after which it is stopped",
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Extract and write one table; print a line about it."""
    from trivalent.extract import extract
    from trivalent.features.tables import check_suffix, write_table

    check_suffix(arguments.output)
    if arguments.columns is not None and not arguments.columns.strip():
        raise UsageError("expected column names with --columns, got none")
    table = extract(
        arguments.extractor,
        arguments.source,
        columns=None if arguments.columns is None else arguments.columns.split(","),
        landmarks=arguments.landmarks,
        face_rate_hz=arguments.face_rate,
        transcript=arguments.transcript,
        glove_file=arguments.glove_file,
        rd=arguments.rd,
        seed=arguments.seed,
        creak_weights=arguments.creak_weights,
        strict=arguments.strict,
        timeout_s=arguments.timeout,
    )
    write_table(table, arguments.output)
    state = str(table.status) if table.reason is None else f"{table.status}: {table.reason}"
    say(f"{arguments.output}: {len(table)} rows, {len(table.columns)} columns, {state}")
    return 0
