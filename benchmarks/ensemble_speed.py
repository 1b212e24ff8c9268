"""Time to train ten seeds of the attention network at once, and one after the other.

Usage: python benchmarks/ensemble_speed.py [--epochs 30]; writes results/ensemble-speed.*
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch

from results_file import Result
from trivalent.lab.batched import Members, seeded
from trivalent.lab.fusion_task import FusionData, FusionTask
from trivalent.lab.networks import build_network
from trivalent.lab.training import Fitted, TrainingConfig, fit
from trivalent.types import Modality

WIDTHS = {Modality.TEXT: 300, Modality.AUDIO: 74, Modality.FACE: 710}
SAMPLES, VALIDATION, BATCH = 2249, 300, 32
SEEDS = range(10)
THREADS = 2


def noise(n: int, generator: torch.Generator) -> FusionData:
    """Features without meaning: the time does not depend on what is learned."""
    features = {m: torch.randn(n, width, generator=generator) for m, width in WIDTHS.items()}
    present = {m: torch.ones(n) for m in WIDTHS}
    return FusionData(features, present, torch.randint(3, (n,), generator=generator))


def build() -> torch.nn.Module:
    return build_network("attention", widths=WIDTHS)


def timed(run: Callable[[], Fitted]) -> tuple[float, Fitted]:
    start = time.perf_counter()
    fitted = run()
    return time.perf_counter() - start, fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    train, val = noise(SAMPLES, generator), noise(VALIDATION, generator)
    config = TrainingConfig(
        epochs=epochs, learning_rate=1e-3, optimizer="adam", schedule="plateau", weight_decay=0.0
    )

    def one(seed: int, epochs: float = epochs) -> Fitted:
        own = TrainingConfig(**{**vars(config), "seed": seed, "epochs": epochs})
        return fit(seeded(build, seed), FusionTask(train, val, batch_size=BATCH), config=own)

    def all_seeds() -> Fitted:
        return fit(Members.build(build, SEEDS), FusionTask(train, val, batch_size=BATCH), config=config)

    one(0, epochs=0.1)  # what torch does at its first call only
    load = [os.getloadavg()[0]]
    batched, fitted = timed(all_seeds)
    print(f"at once: {batched:.1f} s", flush=True)
    load.append(os.getloadavg()[0])
    singles = [timed(lambda seed=seed: one(seed)) for seed in SEEDS]  # type: ignore[misc]
    load.append(os.getloadavg()[0])

    spent = [seconds for seconds, _ in singles]
    pairs = [(single, member) for (_, single), member in zip(singles, fitted.members, strict=True)]
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
    result.add("ten seeds at once", total_s=batched, step_ms=1e3 * batched / steps)
    result.add("ten single runs", total_s=sum(spent), step_ms=1e3 * statistics.mean(spent) / steps)
    result.add("ratio", total_s=sum(spent) / batched)
    result.caveats += [
        f"The attention network, float32, Adam, {THREADS} threads of torch {torch.__version__}; wall-clock "
        "time of one run each, masks, validation and choice of the epoch included. Single runs gain little "
        "from a second thread: two processes side by side would need about half of their time.",
        f"Load average of the machine before, between and after: {', '.join(f'{x:.2f}' for x in load)}; "
        f"what exceeds {THREADS} was other work on the same cores, and the first figure all is.",
        "The greatest difference of a member's validation macro-F1 to its single run's was "
        f"{first:.4f} after the first epoch and {last:.4f} after the last (rounding grows while noise is "
        "learned by heart); tests/test_batched.py compares weights.",
    ]
    result.write()


if __name__ == "__main__":
    main()
