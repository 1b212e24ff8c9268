"""`trivalent batch`: a folder or a list of recordings to tables; a stopped run goes on by itself."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.cli.analyzer_options import add_analyzer_options, options_from
from trivalent.cli.saying import say
from trivalent.core.options import Bounds

if TYPE_CHECKING:
    from trivalent.work.batch import Plan
    from trivalent.work.engines import Local, Ray
    from trivalent.work.sources import Sources

SHOWN_FAILURES = 10
_TIMES_S, _MEMORIES_MIB = Bounds(1, 10**7), Bounds(64, 2**24)


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "batch", help="analyse a folder or a list of files, resumable", description=__doc__
    )
    command.add_argument(
        "source", metavar="FOLDER|LIST.csv", type=Path, help="a list has a column path, maybe transcript"
    )
    command.add_argument("--texts", action="store_true", help="analyse the texts of the folder, too")
    command.add_argument(
        "-o", "--out", metavar="OUT", type=Path, required=True, help="folder of the results"
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="files at a time; half the cores if not given"
    )
    command.add_argument(
        "--engine", default="local", metavar="local|ray", help="this machine, or a Ray cluster"
    )
    command.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster; auto for the one here")
    add_analyzer_options(command)
    command.set_defaults(threads=None)  # as many as the workers leave
    command.add_argument("--time-limit", type=float, default=3600, metavar="S", help="seconds for one file")
    command.add_argument(
        "--memory-limit", type=float, default=4096, metavar="MIB", help="memory for one file, in MiB"
    )
    command.add_argument("--retry-failed", action="store_true", help="analyse again what failed")
    command.add_argument("--restart", action="store_true", help="analyse all again with changed options")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Analyse what has no outcome yet, then write the tables."""
    # found before they fail for each file
    _TIMES_S.check(arguments.time_limit, named="--time-limit")
    _MEMORIES_MIB.check(arguments.memory_limit, named="--memory-limit")
    options = options_from(arguments)
    from trivalent.work import batch
    from trivalent.work import engines as batch_engines
    from trivalent.work.isolated import Limits
    from trivalent.work.sources import find_sources

    engine = batch_engines.engine(arguments.engine, workers=arguments.workers, address=arguments.address)
    if arguments.threads is None:
        options = replace(options, threads=batch_engines.threads_of(engine.workers))
    batch.check_options(options)
    limits = Limits(arguments.time_limit, int(arguments.memory_limit * 2**20))
    with batch.only_run(arguments.out):
        sources = find_sources(arguments.source, results=arguments.out, texts=arguments.texts)
        _tell_unreadable(sources)
        plan = batch.plan(
            sources,
            arguments.out,
            options=options,
            limits=limits,
            restart=arguments.restart,
            retry_failed=arguments.retry_failed,
        )
        try:
            _work(plan, sources, engine)
        finally:
            # also after Ctrl-C: the tables hold what is finished
            status = _tables(plan, arguments.out)
    return 1 if sources.unreadable else status


def _tell_unreadable(sources: Sources) -> None:
    """Name the folders that may hold more than is analysed."""
    for name, reason in sources.unreadable[:SHOWN_FAILURES]:
        say(f"trivalent: {' '.join(f'{name}: folder cannot be read: {reason}'.split())}", error=True)
    more = len(sources.unreadable) - SHOWN_FAILURES
    if more > 0:
        say(f"trivalent: {more} more folders cannot be read", error=True)


def _work(plan: Plan, sources: Sources, engine: Local | Ray) -> None:
    from trivalent.report.terminal import BatchProgress
    from trivalent.work.batch import sizes

    parts = [f"{len(plan.tasks)} files to analyse"]
    if plan.finished:
        parts.append(f"{plan.finished} finished before")
    if sources.ignored:
        parts.append(f"{sources.ignored} of other kinds left out")
    if sources.texts:
        parts[-1] += f" ({sources.texts} texts: --texts takes them)"
    if sources.unused:
        parts.append(f"columns of the list that are not used: {', '.join(sources.unused)}")
    if sources.linked:
        parts.append(f"{sources.linked} linked folders left out")
    say(", ".join(parts), error=True)
    if not plan.tasks:
        return
    with BatchProgress(len(plan.tasks), total_bytes=sizes(plan.tasks)) as progress:
        for outcome in engine.run(plan.tasks):
            progress.done(failed=outcome.status == "failed", size_bytes=outcome.size_bytes)


def _tables(plan: Plan, out: Path) -> int:
    from trivalent.work.tables import failures, has_parquet, write_tables

    counts = write_tables(plan.records, out)
    say(
        f"{counts.done} done, {counts.failed} failed, {counts.pending} left; "
        f"{counts.utterances} utterances in {out}"
    )
    for name, reason in failures(plan.records, SHOWN_FAILURES):
        say(f"trivalent: {' '.join(f'{name}: {reason}'.split())}", error=True)
    if counts.failed > SHOWN_FAILURES:
        say(f"trivalent: {counts.failed - SHOWN_FAILURES} more in {out / 'files.jsonl'}", error=True)
    if not has_parquet():
        say("trivalent: no Parquet without pyarrow; run: pip install 'trivalent[table]'", error=True)
    return 1 if counts.failed or counts.pending else 0
