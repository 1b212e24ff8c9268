"""Measured figures: what the benchmarks wrote, and what a bundle says of itself.

The result files lie in the repository, not in the package: `$TRIVALENT_RESULTS` names their folder,
else the checkout that this package runs from.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivalent.bundle.loading import open_bundle
from trivalent.bundle.manifest import parse
from trivalent.core.assets import DATA

VARIABLE = "TRIVALENT_RESULTS"
Json = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval, where there is one."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Three digits, as in the Markdown twins of the result files.

        >>> str(Figure(0.64321, 0.6, 0.7)), str(Figure(208.0)), str(Figure(0.0125))
        ('0.643 [0.600, 0.700]', '208', '0.013')
        """
        text = f"{self.mean:,.0f}" if self.mean >= 100 else f"{self.mean:.3f}"
        if self.low is None or self.high is None:
            return text
        return f"{text} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class ResultFile:
    """One file of `benchmarks/results` with the pictures that belong to it."""

    path: Path
    content: Json
    pictures: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.path.stem

    def rows(self) -> dict[str, dict[str, Figure]]:
        """Figures by row and metric."""
        return {
            row["name"]: {
                metric: Figure(v["mean"], v.get("low"), v.get("high"))
                for metric, v in row["metrics"].items()
            }
            for row in self.content["rows"]
        }

    def notes(self) -> dict[str, dict[str, str]]:
        """Words by row and column, where a row has some."""
        return {row["name"]: row["notes"] for row in self.content["rows"] if row.get("notes")}


def results_folder() -> Path | None:
    """Where the result files lie, if they are there."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else DATA.parents[2] / "benchmarks" / "results"
    return folder if folder.is_dir() else None


def results() -> list[ResultFile]:
    """All result files that can be read, by name."""
    folder = results_folder()
    paths = sorted(folder.glob("*.json")) if folder else []
    pictures = sorted(folder.glob("*.png")) if folder else []
    names = [path.stem for path in paths]
    owners = {picture: _owner(picture.stem, names) for picture in pictures}
    return [
        ResultFile(path, content, tuple(p for p, owner in owners.items() if owner == path.stem))
        for path in paths
        if (content := _read(path)) is not None
    ]


def result(name: str) -> ResultFile | None:
    """One result file by name."""
    return next((r for r in results() if r.name == name), None)


def _owner(picture: str, names: list[str]) -> str | None:
    """Longest name that a picture's name begins with: `fusion-networks-missing` is not of `fusion`."""
    fitting = [name for name in names if picture == name or picture.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)


def _read(path: Path) -> Json | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = {"benchmark", "commit", "date", "machine", "data", "seeds", "rows", "caveats"}
    return content if isinstance(content, dict) and wanted <= set(content) else None


def manifest(where: str | Path) -> Json:
    """Content of a bundle's bundle.json: more than `Bundle` keeps.

    Raises
    ------
    BundleError
        No such bundle, or it is malformed.
    """
    return parse(open_bundle(where))


def bundle_bytes(where: str | Path) -> int:
    """Size of a bundle's files, or of its .zip."""
    place = open_bundle(where).where
    return sum(p.stat().st_size for p in (place.rglob("*") if place.is_dir() else (place,)) if p.is_file())


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence lies in one range: how many, how sure on average, how many right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


FUSED = "fused"


@dataclass(frozen=True)
class Reliability:
    """How often an expert, or all of them together (`FUSED`), is right by its confidence."""

    of: str
    corpus: str
    count: int
    ece: Figure
    bins: tuple[Bin, ...]


def reliabilities(sha256: str) -> list[Reliability]:
    """Measured reliability of a bundle and its experts; empty unless measured for exactly this bundle."""
    found = result("reliability")
    if found is None or found.content.get("bundle", {}).get("sha256") != sha256:
        return []
    parts: dict[str, dict[str, dict[str, Figure]]] = {}
    for name, metrics in found.rows().items():
        part, row = name.split(": ")
        parts.setdefault(part, {})[row] = metrics
    return [_reliability(part, rows) for part, rows in parts.items()]


def _reliability(part: str, rows: dict[str, dict[str, Figure]]) -> Reliability:
    of, corpus = part.split(", ")
    bins = []
    for span, m in rows.items():
        if span != "all":
            low, high = (float(x) for x in span.split(" to "))
            bins.append(Bin(low, high, int(m["n"].mean), m["confidence"].mean, m["right"].mean))
    return Reliability(of, corpus, int(rows["all"]["n"].mean), rows["all"]["ece"], tuple(bins))
