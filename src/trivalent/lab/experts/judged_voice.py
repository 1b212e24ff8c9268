"""RAVDESS takes as a voice expert of any kind judges them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trivalent.bundle.loading import Expert
from trivalent.core.assets import cache_folder
from trivalent.core.types import FloatArray
from trivalent.features.levels import recording_level
from trivalent.lab.datasets.ravdess import Take, ravdess_tables


def judge_takes(expert: Expert, *, root: Path, actors: Sequence[int]) -> tuple[list[Take], FloatArray]:
    """Judge the takes of some actors, each beside the level of all that the actor says.

    Returns
    -------
    takes : list of Take
        Those that the expert has an answer for.
    probabilities : array, shape (takes, 3)
        Calibrated.
    """
    tables = ravdess_tables(root, columns=expert.spec.columns, cache=cache_folder() / "features")
    chosen = [(take, table) for take, table in tables if take.actor in actors and len(table)]
    levels = {
        actor: recording_level(expert.level(table) for take, table in chosen if take.actor == actor)
        for actor in {take.actor for take, _ in chosen}
    }
    said = [(take, expert.from_table(table, levels[take.actor])[0]) for take, table in chosen]
    judged = [(take, p) for take, p in said if p is not None]
    return [take for take, _ in judged], np.array([p for _, p in judged])
