"""Result files: JSON with commit, date, machine, seeds and caveats, and a Markdown twin."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trivalent.core.files import write_text_atomic


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval, where there is one."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ResultRow:
    """A row of a table: figures, and words such as the verdict on a claim."""

    name: str
    metrics: dict[str, Value]
    notes: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as in the JSON file."""
        content: dict[str, Any] = {
            "name": self.name,
            "metrics": {k: vars(v) for k, v in self.metrics.items()},
        }
        return content | ({"notes": self.notes} if self.notes else {})


@dataclass
class Result:
    """What one benchmark found."""

    benchmark: str
    data: str
    seeds: Sequence[int] = ()
    rows: list[ResultRow] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)  # more of the JSON file: claims, curves

    def add(self, name: str, *, notes: Mapping[str, str] | None = None, **metrics: Value | float) -> None:
        """Append a row."""
        values = {k: v if isinstance(v, Value) else Value(v) for k, v in metrics.items()}
        self.rows.append(ResultRow(name, values, dict(notes or {})))

    def write(self, folder: Path) -> list[Path]:
        """Write NAME.json and NAME.md into a folder; returns both paths."""
        content: dict[str, Any] = {
            "benchmark": self.benchmark,
            "commit": _commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": machine(),
            "data": self.data,
            "seeds": list(self.seeds),
            "rows": [row.to_dict() for row in self.rows],
            "caveats": self.caveats,
        } | self.extra
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        return [
            write_text_atomic(folder / f"{self.benchmark}.json", text),
            write_text_atomic(folder / f"{self.benchmark}.md", self._markdown(content)),
        ]

    def _markdown(self, content: dict[str, Any]) -> str:
        columns = list(dict.fromkeys(k for row in self.rows for k in row.metrics))
        notes = list(dict.fromkeys(k for row in self.rows for k in row.notes))
        lines = [
            f"# {self.benchmark}",
            "",
            f"Commit {content['commit']}, {content['date']}, {content['machine']}. Data: {self.data}",
            "",
            "| row | " + " | ".join(columns + notes) + " |",
            "|---" * (len(columns) + len(notes) + 1) + "|",
        ]
        for row in self.rows:
            cells = [_cell(row.metrics.get(c)) for c in columns] + [row.notes.get(n, "") for n in notes]
            lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
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
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git the user has
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or "unknown"
