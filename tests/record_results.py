"""What the program answers, written down to the last digit: `python tests/record_results.py` anew.

Written before the code is moved; `test_record.py` compares. Processors round differently, so the record
holds for the one that it names; elsewhere the figures are compared with a tolerance.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from conftest import REPOSITORY, data_root
from trivalent import Analyzer
from trivalent.cli.main import main
from trivalent.core.analysis import Analysis
from trivalent.lab.measure.result_files import machine

FILE = Path(__file__).parent / "record" / "results.json"
BUNDLES = ("default", "fast")
RECIPES = ("concatenation", "attention-sqrt", "attention-dropout")
SHORT = ("--set", "training.epochs=3", "--set", "seeds=[0,1]")
TEXTS = 100  # of each corpus


def analyses(root: Path) -> Iterator[tuple[str, Analysis]]:
    """The sample, four clips and 200 texts, by both bundles."""
    sample = next(REPOSITORY.glob("src/trivalent/**/samples/sample.mp4"))
    clips = [sample, *sorted((root / "crema_d").glob("*.flv"))]
    for bundle in BUNDLES:
        analyzer = Analyzer(bundle, threads=1)
        for path in clips:
            yield f"{bundle} {path.name}", analyzer.analyze(path)
        for i, text in enumerate(texts(root)):
            yield f"{bundle} text {i}", analyzer.analyze_text(text)


def texts(root: Path) -> list[str]:
    """Utterances of a series and sentences of reviews."""
    with (root / "meld" / "test_sent_emo.csv").open(encoding="utf-8", errors="replace") as stream:
        said = [row["Utterance"] for row in csv.DictReader(stream)][:TEXTS]
    with (root / "sst5" / "test.csv").open(encoding="utf-8") as stream:
        return said + [row["text"] for row in csv.DictReader(stream)][:TEXTS]


def told(analysis: Analysis) -> dict[str, Any]:
    """Overall probabilities, and the hash of the whole document without its times."""
    document = analysis.to_dict()
    del document["timing"]
    canonical = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return {
        "sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "probabilities": list(document["overall"]["probabilities"].values()),
        "utterances": len(analysis.utterances),
    }


def training(recipe: str, root: Path) -> dict[str, Any]:
    """Figures of three epochs with two seeds."""
    with tempfile.TemporaryDirectory() as folder:
        source = str(REPOSITORY / "recipes" / f"{recipe}.yaml")
        assert main(["train", source, "-o", folder, *SHORT, "--root", str(root)]) == 0
        metrics: dict[str, Any] = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return {part: metrics[part]["seeds"] for part in ("validation", "test")}


def results(root: Path) -> dict[str, Any]:
    """Everything that is compared."""
    return {
        "machine": machine(),
        "analyses": {name: told(analysis) for name, analysis in analyses(root)},
        "trainings": {recipe: training(recipe, root) for recipe in RECIPES},
    }


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(results(data_root()), indent=1) + "\n", encoding="utf-8")
