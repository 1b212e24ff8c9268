"""The answers of the bundles and the figures of small trainings are those that were written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from record_results import FILE, RECIPES, analyses, told, training
from trivalent.lab.measure.result_files import machine

RECORD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
SAME = machine() == RECORD["machine"]
pytest.importorskip("torch", reason="torch is not installed")


def test_analyses_are_as_recorded(real_data: Path) -> None:
    """To the last digit on the recorded processor; elsewhere rounding may differ."""
    found = {name: told(analysis) for name, analysis in analyses(real_data)}
    assert found.keys() == RECORD["analyses"].keys()
    changed = []
    for name, expected in RECORD["analyses"].items():
        close = found[name]["probabilities"] == pytest.approx(expected["probabilities"], abs=0.02)
        if not close or (SAME and found[name] != expected):
            changed.append(name)
    assert not changed


@pytest.mark.parametrize("recipe", RECIPES)
def test_trainings_are_as_recorded(recipe: str, real_data: Path) -> None:
    if not SAME:
        pytest.skip(f"recorded on {RECORD['machine']}: training parts ways with rounding")
    assert training(recipe, real_data) == RECORD["trainings"][recipe]
