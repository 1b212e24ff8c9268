"""Fill the marked parts of README.md from benchmarks/results and from the real output of the command.

Usage: python benchmarks/update_readme.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from results_file import FOLDER, REPOSITORY
from trivalent.files import write_text_atomic

_BLOCK = re.compile(r"(<!-- (table|output): (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(words: list[str]) -> str:
    """Render one result file with the named metrics (* for all)."""
    name, *wanted = words
    content = json.loads((FOLDER / f"{name}.json").read_text())
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
    command = [sys.executable, "-m", "trivalent.cli.main", "analyze", "--sample"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    shown = [f"$ {' '.join(words)}", *(line.rstrip() for line in run.stdout.strip("\n").splitlines())]
    return "\n".join(["```console", *shown, "```"])


def main() -> None:
    """Rewrite README.md."""
    path = Path(REPOSITORY) / "README.md"
    makers = {"table": table, "output": output}

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}{makers[match[2]](match[3].split())}\n{match[4]}"

    write_text_atomic(path, _BLOCK.sub(fill, path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
