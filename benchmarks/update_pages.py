"""Fill the marked parts of README*.md and docs/*.md from benchmarks/results and from real output.

Usage: TRIVALENT_DATA=DIR python benchmarks/update_pages.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from results_file import FOLDER, REPOSITORY
from trivalent.core.files import write_text_atomic
from trivalent.features.covarep.glossary import define
from trivalent.lab.datasets.mosei import explain_distribution
from trivalent.lab.datasets.registry import DATASETS
from trivalent.lab.datasets.root import data_root

_BLOCK = re.compile(
    r"(<!-- (table|output|columns|parity|datasets|distribution|claims): (.*?) -->\n).*?(<!-- end -->)",
    re.DOTALL,
)


def table(words: list[str]) -> str:
    """Render one result file with the named metrics (* for all), `rows=a|b` of those that begin so."""
    name, *wanted = words
    content = json.loads((FOLDER / f"{name}.json").read_text())
    if wanted[0].startswith("rows="):
        begins = tuple(wanted.pop(0).removeprefix("rows=").replace("_", " ").split("|"))
        content["rows"] = [row for row in content["rows"] if row["name"].startswith(begins)]
    if wanted == ["*"]:
        lines = ["| | |", "|---|---|"]
        for row in content["rows"]:
            figures = ", ".join(f"{k} {v['mean']:.3g}" for k, v in row["metrics"].items())
            lines.append(f"| {row['name']} | {figures} |")
        return "\n".join([*lines, "", f"({content['machine']}.)"])
    lines = [
        "| | " + " | ".join(w.replace("_", " ") for w in wanted) + " |",
        "|---" * (len(wanted) + 1) + "|",
    ]
    for row in content["rows"]:
        lines.append(f"| {row['name']} | " + " | ".join(cell(row["metrics"].get(w)) for w in wanted) + " |")
    return "\n".join(lines)


def cell(value: dict[str, Any] | None) -> str:
    """Three digits and the interval."""
    if value is None:
        return ""
    text = f"{value['mean']:.3f}"
    return text if value["low"] is None else f"{text} [{value['low']:.3f}, {value['high']:.3f}]"


def output(words: list[str]) -> str:
    """Run `trivalent analyze --sample` as in a terminal of 100 columns."""
    return "\n".join(["```console", f"$ {' '.join(words)}", *sample_lines(), "```"])


@cache
def sample_lines() -> list[str]:
    """Analyse the sample once, so that every page shows the same run."""
    command = [sys.executable, "-m", "trivalent.cli.main", "analyze", "--sample"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [line.rstrip() for line in run.stdout.strip("\n").splitlines()]


def columns(words: list[str]) -> str:
    """List the COVAREP columns with definition, unit and range."""
    content = json.loads((FOLDER / f"{words[0]}.json").read_text())
    lines = ["| column | definition | unit | range | source |", "|---|---|---|---|---|"]
    for row in content["rows"]:
        found = define(row["name"])
        spread = ", ".join(f"{row['metrics'][q]['mean']:.3g}" for q in ("p05", "p50", "p95"))
        lines.append(f"| {row['name']} | {found.text} | {found.unit} | {spread} | {found.source} |")
    return "\n".join([*lines, "", f"({content['data']}.)"])


def parity(words: list[str]) -> str:
    """Sum up the agreement per family of columns."""
    content = json.loads((FOLDER / f"{words[0]}.json").read_text())
    families: dict[str, list[dict[str, Any]]] = {}
    for row in content["rows"]:
        families.setdefault(re.sub(r"_\d+$", "", row["name"]), []).append(row["metrics"])
    lines = ["| columns | r, least of the columns | median error, % of the deviation |", "|---|---|---|"]
    for name, metrics in families.items():
        if "r_mean" in metrics[0]:  # over clips instead of rows
            lines.append(f"| {name} | {metrics[0]['r_mean']['mean']:.3f} (mean of the clips) | |")
            continue
        r = min(m["r_all"]["mean"] for m in metrics)
        error = max(m["error_percent"]["mean"] for m in metrics)
        count = f" ({len(metrics)})" if len(metrics) > 1 else ""
        lines.append(f"| {name}{count} | {r:.6f} | {error:.4f} |")
    return "\n".join([*lines, "", *(f"- {caveat}" for caveat in content["caveats"])])


def datasets(words: list[str]) -> str:
    """List the data sets that we read."""
    lines = ["| name | what | protocols | licence |", "|---|---|---|---|"]
    for name, entry in DATASETS.items():
        protocols = ", ".join(p.name for p in entry.protocols)
        lines.append(f"| {name} | {entry.title} | {protocols} | {entry.licence} |")
    return "\n".join(lines)


def distribution(words: list[str]) -> str:
    """Show what each choice of a protocol does to the classes; needs $TRIVALENT_DATA."""
    lines = [
        "| samples of train | label map | count | negative / neutral / positive, % |",
        "|---|---|---|---|",
    ]
    for step in explain_distribution(data_root())["distribution"]:
        shares = " / ".join(f"{v:.1f}" for v in step["percent"].values())
        lines.append(f"| {step['samples']} | {step['label_map']} | {step['count']:,} | {shares} |")
    return "\n".join(lines)


def claims(words: list[str]) -> str:
    """List the claims of the paper with their verdicts."""
    content = json.loads((FOLDER / f"{words[0]}.json").read_text())
    lines = ["| claim of the paper | verdict | measured |", "|---|---|---|"]
    for claim in content["claims"]:
        lines.append(f"| {claim['claim']} | {claim['verdict']} | {claim['reason']} |")
    return "\n".join(lines)


def main() -> None:
    """Rewrite the pages."""
    makers = {
        "table": table,
        "output": output,
        "columns": columns,
        "parity": parity,
        "datasets": datasets,
        "distribution": distribution,
        "claims": claims,
    }

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}{makers[match[2]](match[3].split())}\n{match[4]}"

    root = Path(REPOSITORY)
    for path in (*sorted(root.glob("README*.md")), *sorted((root / "docs").glob("*.md"))):
        page = path.read_text(encoding="utf-8")
        if _BLOCK.search(page):
            write_text_atomic(path, _BLOCK.sub(fill, page))


if __name__ == "__main__":
    main()
