"""Seeds of a system shared out among processes: small operations do not profit from threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import numpy as np
import torch

from trivalent.core.errors import UsageError
from trivalent.lab.fit.members import Members
from trivalent.lab.fusion.seed_training import System, Trained, train_system
from trivalent.lab.problems.classification import Problem


def train_in_processes(
    system: System, problem: Problem, seeds: Sequence[int], *, processes: int = 2
) -> Trained:
    """Train like `train_system`, every process a batched ensemble of its share of the seeds.

    What a seed learns does not depend on the others, so the result is the same up to rounding
    (ADASYN excepted: there the number of synthetic samples is made equal within each share).
    Each process uses one thread.

    Raises
    ------
    UsageError
        Fewer than one process; otherwise as `train_system`.
    """
    if processes < 1:
        raise UsageError(f"expected at least one process, got {processes}")
    shares = [tuple(int(s) for s in own) for own in np.array_split(list(seeds), processes) if len(own)]
    # Spawned, not forked: threads of torch do not survive a fork.
    with ProcessPoolExecutor(
        len(shares), mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        found = list(pool.map(train_system, repeat(system), repeat(problem), shares))
    members = Members([network for own in found for network in own.members.split()], seeds=tuple(seeds))
    return Trained(system, tuple(seeds), members, [h for own in found for h in own.history])
