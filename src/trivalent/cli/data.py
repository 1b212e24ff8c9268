"""`trivalent data`: what is in a data set under a protocol."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trivalent.errors import UsageError

DATASETS = {"mosei": "CMU-MOSEI, 23,259 annotated segments of 3,293 videos (English, monologues)"}


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "data", help="say what a data set's samples and labels are", description=__doc__
    )
    command.add_argument("action", choices=("list", "info"))
    command.add_argument("name", nargs="?", metavar="NAME", help=", ".join(DATASETS))
    command.add_argument("--protocol", default="segment", metavar="P", help="segment or sdk-subset")
    command.add_argument("--root", type=Path, metavar="DIR", help="data; else $TRIVALENT_DATA")
    command.add_argument("--json", action="store_true", help="one JSON object")
    return command


def run(arguments: argparse.Namespace) -> int:
    """List the data sets, or describe one; its known counts are checked first."""
    if arguments.action == "list":
        print(
            json.dumps(DATASETS) if arguments.json else "\n".join(f"{k}  {v}" for k, v in DATASETS.items())
        )
        return 0
    if arguments.name not in DATASETS:
        raise UsageError(f"expected a data set among {', '.join(DATASETS)}, got {arguments.name!r}")
    from trivalent.lab.datasets.mosei import read_segments
    from trivalent.lab.datasets.root import data_root
    from trivalent.lab.protocols import check_counts, describe, explain_distribution, find_protocol

    protocol = find_protocol(arguments.protocol)
    segments = read_segments(data_root(arguments.root))
    check_counts(segments, protocol)
    content = {
        "dataset": arguments.name,
        "protocol": protocol.name,
        "description": protocol.description,
        "label_map": str(protocol.label_map),
        "splits": describe(segments, protocol),
        "distribution": explain_distribution(segments),
    }
    print(json.dumps(content, indent=1) if arguments.json else _text(content))
    return 0


def _text(content: dict[str, Any]) -> str:
    lines = [f"{content['dataset']}, protocol {content['protocol']}: {content['description']}", ""]
    lines.append(
        f"{'':6}{'samples':>9}{'videos':>8}{'negative':>16}{'neutral':>16}{'positive':>16}{'ratio':>7}"
    )
    for name, part in content["splits"].items():
        cells = "".join(f"{part['classes'][c]:>8,} {part['percent'][c]:>5.1f} %" for c in part["classes"])
        lines.append(
            f"{name:6}{part['samples']:>9,}{part['videos']:>8,}{cells}{part['imbalance_ratio']:>7.1f}"
        )
    lines += ["", "seven classes, %"]
    for name, part in content["splits"].items():
        lines.append(f"{name:6}" + "  ".join(f"{k} {v:.1f}" for k, v in part["seven_percent"].items()))
    lines += ["", "segments: seconds, and how many lack text"]
    for name, part in content["splits"].items():
        spread = part["segment_s"]
        lines.append(
            f"{name:6}median {spread['median']:.1f} s, 95 % below {spread['p95']:.1f} s, "
            f"{spread['total_h']:.1f} h in all; without text {part['without_text']:,}"
        )
    lines += ["", "where the classes of train come from"]
    for step in content["distribution"]:
        shares = " / ".join(f"{v:.1f}" for v in step["percent"].values())
        lines.append(f"{step['samples']:28}{step['label_map']:6}{step['count']:>8,}   {shares} %")
    return "\n".join(lines)
