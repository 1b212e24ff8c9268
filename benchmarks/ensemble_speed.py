"""Time to train ten seeds of the attention network at once, and one after the other.

Usage: python benchmarks/ensemble_speed.py [--epochs 30]; writes results/ensemble-speed.*
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

# Threads that wait by spinning take the cores from one another when other programs run: tenfold the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from results_file import Result
from trivalent.core.types import Modality
from trivalent.lab.fit.members import Members
from trivalent.lab.fit.training import Fitted, TrainingConfig, fit
from trivalent.lab.fusion.task import FusionData, FusionTask
from trivalent.lab.networks import build_network

WIDTHS = {Modality.TEXT: 300, Modality.AUDIO: 74, Modality.FACE: 710}
SAMPLES, VALIDATION, BATCH = 2249, 300, 32
SEEDS = range(10)


def noise(n: int, generator: torch.Generator) -> FusionData:
    """Features without meaning: the time does not depend on what is learned."""
    features = {m: torch.randn(n, width, generator=generator) for m, width in WIDTHS.items()}
    present = {m: torch.ones(n) for m in WIDTHS}
    return FusionData(features, present, torch.randint(3, (n,), generator=generator))


def build() -> torch.nn.Module:
    return build_network("attention", widths=WIDTHS)


def timed(run: Callable[[], Fitted], *, threads: int) -> tuple[tuple[float, float], Fitted]:
    """Return wall-clock and processor seconds."""
    torch.set_num_threads(threads)
    start, used = time.perf_counter(), time.process_time()
    fitted = run()
    return (time.perf_counter() - start, time.process_time() - used), fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args().epochs
    generator = torch.Generator().manual_seed(0)
    train, val = noise(SAMPLES, generator), noise(VALIDATION, generator)
    config = TrainingConfig(
        epochs=epochs, learning_rate=1e-3, optimizer="adam", schedule="plateau", weight_decay=0.0
    )

    def one(seed: int, epochs: float = epochs) -> Fitted:
        own = replace(config, epochs=epochs)
        return fit(Members.build(build, [seed]), FusionTask(train, val, batch_size=BATCH), config=own)

    def all_seeds() -> Fitted:
        return fit(Members.build(build, SEEDS), FusionTask(train, val, batch_size=BATCH), config=config)

    one(0, epochs=0.1)  # what torch does at its first call only
    load, spent = [os.getloadavg()[0]], {}
    for threads in (2, 1):
        spent[threads], fitted = timed(all_seeds, threads=threads)
        load.append(os.getloadavg()[0])
        print(f"at once, {threads} threads: wall-clock and processor seconds {spent[threads]}", flush=True)
    singles = [timed(partial(one, seed), threads=1) for seed in SEEDS]
    load.append(os.getloadavg()[0])
    single = tuple(sum(spent[i] for spent, _ in singles) for i in (0, 1))
    pairs = [(own, member) for (_, own), member in zip(singles, fitted.members, strict=True)]
    first, last = (
        max(abs(a.history[i]["score"] - b.history[i]["score"]) for a, b in pairs) for i in (0, -1)
    )
    steps = epochs * -(-SAMPLES // BATCH)
    result = Result(
        "ensemble-speed",
        f"{SAMPLES} samples of noise, 300 + 74 + 710 features, batches of {BATCH}, {epochs} epochs, "
        f"validation on {VALIDATION} samples after each",
        seeds=list(SEEDS),
    )
    rows = {
        "ten seeds at once, two threads": spent[2],
        "ten seeds at once, one thread": spent[1],
        "ten single runs, one thread": single,
    }
    for name, (wall, cpu) in rows.items():
        step = 1e3 * wall / steps  # of all ten
        result.add(name, total_s=wall, processor_s=cpu, step_ms=step, speedup=single[0] / wall)
    result.caveats += [
        f"The attention network, float32, Adam, torch {torch.__version__}; one run each, masks, validation "
        "and choice of the epoch included. A second thread does not help a single run; two side by side "
        "should need about half of the time of the last row.",
        f"Load average of the machine before and after each row: {', '.join(f'{x:.2f}' for x in load)}; "
        "the first, and what exceeds a row's threads, was other work on the same two cores.",
        "A single run is an ensemble of one. A member's validation macro-F1 differed from its by at most "
        f"{first:.4f} after the first epoch and {last:.4f} after the last (rounding grows while noise is "
        "learned by heart); tests/test_batched.py compares weights.",
    ]
    result.write()


if __name__ == "__main__":
    main()
