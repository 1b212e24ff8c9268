"""Seeds in two processes learn what they learn in one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from trivalent.core.errors import UsageError
from trivalent.core.types import Modality
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.fusion.parallel import train_in_processes
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, train_system
from trivalent.lab.problems.classification import make_problem


def test_the_same_as_in_one_process() -> None:
    rng = np.random.default_rng(0)
    names = np.array([f"v{i}" for i in range(60)])
    data = Dataset(
        "made-up",
        "by hand",
        ids=names,
        groups=names,
        split=np.array(["train"] * 40 + ["val"] * 10 + ["test"] * 10),
        labels=np.arange(60) % 3,
        scores=np.full(60, np.nan),
        seconds=np.full(60, np.nan),
        features={
            m: Features("x", ("a", "b"), rng.normal(size=(60, 2)).astype(np.float32)) for m in Modality
        },
    )
    problem = make_problem(data)
    system = System(training=replace(PAPER_TRAINING, epochs=2), options={"width": 8, "hidden": 8})
    one = train_system(system, problem, [3, 4, 5])
    two = train_in_processes(system, problem, [3, 4, 5], processes=2)
    part = problem.parts.test
    np.testing.assert_allclose(two.probabilities(part), one.probabilities(part), atol=1e-4)
    assert two.seeds == (3, 4, 5)
    assert len(two.history) == 3
    with pytest.raises(UsageError, match="at least one process"):
        train_in_processes(system, problem, [0], processes=0)
