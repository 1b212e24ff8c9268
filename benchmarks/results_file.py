"""Where the benchmarks of this folder write: results/NAME.json and its Markdown twin."""

from __future__ import annotations

from pathlib import Path

from trivalent.lab.measure.result_files import Result as _Result
from trivalent.lab.measure.result_files import Value, machine

FOLDER = Path(__file__).parent / "results"
REPOSITORY = Path(__file__).resolve().parents[1]


class Result(_Result):
    """A result that knows its folder."""

    def write(self, folder: Path = FOLDER) -> list[Path]:
        """Write into results/."""
        return super().write(folder)


__all__ = ["FOLDER", "REPOSITORY", "Result", "Value", "machine"]
