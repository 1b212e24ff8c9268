"""Result files: JSON with commit, date, machine, seeds and caveats, and a Markdown twin."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trivalent.files import write_text_atomic

FOLDER = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval, where there is one."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass
class Result:
    """What one benchmark found."""

    benchmark: str
    data: str
    seeds: Sequence[int] = ()
    rows: list[tuple[str, dict[str, Value]]] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)

    def add(self, name: str, **metrics: Value | float) -> None:
        """Append a row."""
        self.rows.append((name, {k: v if isinstance(v, Value) else Value(v) for k, v in metrics.items()}))

    def write(self) -> None:
        """Write results/NAME.json and results/NAME.md."""
        content: dict[str, Any] = {
            "benchmark": self.benchmark,
            "commit": _commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "data": self.data,
            "seeds": list(self.seeds),
            "rows": [{"name": n, "metrics": {k: vars(v) for k, v in m.items()}} for n, m in self.rows],
            "caveats": self.caveats,
        }
        FOLDER.mkdir(exist_ok=True)
        write_text_atomic(
            FOLDER / f"{self.benchmark}.json", json.dumps(content, indent=1, allow_nan=False) + "\n"
        )
        write_text_atomic(FOLDER / f"{self.benchmark}.md", self._markdown(content))

    def _markdown(self, content: dict[str, Any]) -> str:
        columns = list(dict.fromkeys(k for _, metrics in self.rows for k in metrics))
        lines = [
            f"# {self.benchmark}",
            "",
            f"Commit {content['commit']}, {content['date']}, {content['machine']}. Data: {self.data}",
            "",
            "| row | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for name, metrics in self.rows:
            lines.append(f"| {name} | " + " | ".join(_cell(metrics.get(c)) for c in columns) + " |")
        return "\n".join([*lines, "", *(f"- {c}" for c in self.caveats), ""])


def machine() -> str:
    """Processor and number of cores; no host name."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _cell(value: Value | None) -> str:
    if value is None:
        return ""
    text = f"{value.mean:.3f}" if abs(value.mean) < 100 else f"{value.mean:.0f}"
    return (
        text if value.low is None or value.high is None else f"{text} [{value.low:.3f}, {value.high:.3f}]"
    )


def _commit() -> str:
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or "unknown"
