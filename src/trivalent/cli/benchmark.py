"""`trivalent benchmark`: tables that anyone can rerun."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say
from trivalent.core.errors import UsageError
from trivalent.core.logs import log_to_stderr


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "benchmark", help="run a benchmark and write its table", description=__doc__
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="benchmark to run; see --list")
    command.add_argument("--list", action="store_true", help="name the benchmarks")
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of tables and pictures")
    command.add_argument("--root", type=Path, metavar="DIR", help="data; else $TRIVALENT_DATA")
    command.add_argument(
        "--seeds", type=int, default=10, metavar="N", help="seeds of every row, at least 2"
    )
    command.add_argument("--synthetic", action="store_true", help="accept synthetic features")
    return command


def run(arguments: argparse.Namespace) -> int:
    """List the benchmarks, or run one and print its table and verdicts."""
    from trivalent.lab.benchmarks.registry import BENCHMARKS, run_benchmark, verdicts
    from trivalent.lab.datasets.root import data_root

    if arguments.list:
        say("\n".join(f"{name:14}{b.title}" for name, b in BENCHMARKS.items()))
        return 0
    if arguments.name is None or arguments.output is None:
        raise UsageError("cli.benchmark_what")
    log_to_stderr(logging.INFO)
    result, written = run_benchmark(
        arguments.name,
        root=data_root(arguments.root),
        out=arguments.output,
        seeds=arguments.seeds,
        synthetic=arguments.synthetic,
    )
    say(written[1].read_text(encoding="utf-8"))
    for claim in verdicts(result):
        say(f"{claim['verdict']:16} {claim['claim']} ({claim['reason']})")
    return 0
