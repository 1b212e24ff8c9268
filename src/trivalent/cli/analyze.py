"""`trivalent analyze`: recordings and texts to verdicts."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.cli.analyzer_options import add_analyzer_options, options_from
from trivalent.cli.saying import fail, say
from trivalent.core.errors import InputError, TrivalentError, UsageError
from trivalent.core.messages import Message, chosen_language
from trivalent.core.plain_text import decode

if TYPE_CHECKING:
    from trivalent.analyzer import Analyzer
    from trivalent.core.analysis import Analysis


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "analyze", help="tell the sentiment of recordings or texts", description=__doc__
    )
    command.add_argument("sources", nargs="*", metavar="SOURCE", help="video, audio or .txt file")
    command.add_argument("--text", help="a text instead of a file; - reads standard input")
    command.add_argument("--sample", action="store_true", help="the clip inside the package")
    command.add_argument("--json", action="store_true", help="one JSON document on standard output")
    command.add_argument("--html", metavar="F", type=Path, help="write a self-contained report")
    command.add_argument("--csv", metavar="F", type=Path, help="write one row per utterance")
    command.add_argument(
        "--transcript", metavar="F", type=Path, help=".srt, .vtt or .txt instead of recognition"
    )
    add_analyzer_options(command)
    return command


def run(arguments: argparse.Namespace) -> int:
    """Analyse every source; a bad one is reported and the others go on."""
    _check(arguments)
    options = options_from(arguments)
    from trivalent.analyzer import Analyzer

    analyzer = Analyzer.of(options)
    done: list[Analysis] = []
    failures: list[tuple[str, str]] = []
    sources = [_sample()] if arguments.sample else [Path(s) for s in arguments.sources]
    if arguments.text is not None:
        done.append(_analyze_text(analyzer, arguments.text))
    for source in sources:
        try:
            done.append(_analyze(analyzer, source, arguments))
        except TrivalentError as error:
            if len(sources) == 1 or arguments.debug:
                raise
            failures.append((str(source), error.message))
            fail(Message("cli.failed_source", source=source.name, error=error), 1)
    _write(done, failures, analyzer.bundle.card, arguments)
    return 1 if failures else 0


def _analyze(analyzer: Analyzer, source: Path, arguments: argparse.Namespace) -> Analysis:
    from trivalent.report.terminal import StageProgress

    with StageProgress(source.name) as progress:
        return analyzer.analyze(source, transcript=arguments.transcript, stages=progress.stage)


def _analyze_text(analyzer: Analyzer, text: str) -> Analysis:
    if text != "-":
        return analyzer.analyze_text(text)
    try:
        read = decode(sys.stdin.buffer.read())
    except UnicodeDecodeError as error:
        raise InputError("text.damaged_utf16", name="standard input") from error
    analysis = analyzer.analyze_text(read.text)
    return replace(analysis, warnings=(*read.warnings("standard input"), *analysis.warnings))


def _write(
    done: list[Analysis],
    failures: list[tuple[str, str]],
    card: dict[str, Any],
    arguments: argparse.Namespace,
) -> None:
    from trivalent.report import writers as report
    from trivalent.report.wording import Wording

    if arguments.html is not None and done:
        wording = Wording(chosen_language())
        report.write_html(done, arguments.html, card=card, failures=failures, say=wording)
    if arguments.csv is not None and done:
        report.write_csv(done, arguments.csv)
    if arguments.json:
        say(report.to_json(done, failures=failures))
        return
    from rich.console import Console

    from trivalent.report.terminal import print_analysis

    console = Console()
    for analysis in done:
        print_analysis(analysis, console=console)


def _check(arguments: argparse.Namespace) -> None:
    given = [bool(arguments.sources), arguments.text is not None, arguments.sample]
    if sum(given) != 1:
        raise UsageError("cli.one_source")
    if arguments.transcript is not None and len(arguments.sources) != 1:
        raise UsageError("cli.transcript_one")
    for target in (arguments.html, arguments.csv):
        # Found before an hour of computing, not after.
        if target is not None and (not target.parent.is_dir() or target.is_dir()):
            raise UsageError("cli.target_folder", target=target)


def _sample() -> Path:
    from trivalent.core.assets import DATA

    return DATA / "samples" / "sample.mp4"
