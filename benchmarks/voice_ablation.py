"""Which columns help the pooled voice expert? Out-of-fold figures over the training actors only.

Usage: OMP_NUM_THREADS=1 python benchmarks/voice_ablation.py [--root ../shared/data] [--seeds 0,1]

Every set of pooled columns and of alterations is trained by the pooled voice recipe, cross-fitted over
actors 01 to 16; the test actors are not touched. Writes results/voice-ablation.{json,md}.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from results_file import REPOSITORY, Result, Value
from trivalent.lab.experts.pooled import train_tabular
from trivalent.lab.measure.metrics import macro_f1
from trivalent.lab.recipes import Recipe, load_recipe

STATISTICS = ("mean_voiced", "std_voiced", "p10_voiced", "p90_voiced")
ADDED = {
    "glottal pulse (NAQ, QOQ, H1H2, PSP)": ("NAQ", "QOQ", "H1H2", "PSP"),
    "MDQ, Rd, Rd_conf": ("MDQ", "Rd", "Rd_conf"),
    "creak": ("creak",),
    "phase distortion (HMPDD)": tuple(f"HMPDD_{i}" for i in range(13)),
    "mean phase (HMPDM_8 .. 24)": tuple(f"HMPDM_{i}" for i in range(8, 25, 2)),
    "MCEP_13 .. 24": tuple(f"MCEP_{i}" for i in range(13, 25)),
}
VARIANTS = {
    "clean only": [],
    "noise, channel, telephone": ["noise", "channel", "telephone"],
    "noise, channel, telephone, slow, fast": ["noise", "channel", "telephone", "slow", "fast"],
}


def pooled(columns: Sequence[str]) -> list[str]:
    """Name the statistics of added columns."""
    return [f"{column}.{statistic}" for column in columns for statistic in STATISTICS]


def score(recipe: Recipe, root: Path) -> Value:
    """Train and return the out-of-fold macro-F1 with an interval over resampled actors."""
    with TemporaryDirectory() as folder:
        train_tabular(recipe, modality="audio", root=root, out=Path(folder))
        with np.load(Path(folder) / "validation.npz", allow_pickle=False) as stored:
            labels, predicted = stored["labels"], stored["probabilities"].argmax(1)
    # Every actor has as many takes as any other, in the order of the names: by actor last.
    rng = np.random.default_rng(0)
    groups = np.arange(len(labels)) % 16
    draws = []
    for _ in range(500):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.integers(0, 16, 16)])
        draws.append(macro_f1(labels[rows], predicted[rows]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Value(macro_f1(labels, predicted), float(low), float(high))


def changed(recipe: Recipe, *, added: Sequence[str] = (), variants: Sequence[str] = ()) -> Recipe:
    """Add columns to the recipe's and replace its alterations."""
    pooling = list(dict.fromkeys([*recipe.task["pooling"], *pooled(added)]))
    return replace(recipe, task={**recipe.task, "pooling": pooling, "variants": tuple(variants)})


def main() -> None:
    """Train all sets and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--seeds", default="0,1")
    arguments = parser.parse_args()
    seeds = tuple(int(seed) for seed in arguments.seeds.split(","))
    recipe = replace(load_recipe(REPOSITORY / "recipes" / "voice_pooled.yaml"), seeds=seeds)
    result = Result("voice-ablation", "RAVDESS, actors 01-16, out of fold (4 folds by actor)", seeds=seeds)
    trials = {f"columns of the bundle, {name}": changed(recipe, variants=v) for name, v in VARIANTS.items()}
    trials |= {f"+ {name}, clean only": changed(recipe, added=columns) for name, columns in ADDED.items()}
    everything = [column for columns in ADDED.values() for column in columns]
    trials["+ all of these, clean only"] = changed(recipe, added=everything)
    for name, trial in trials.items():
        found = score(trial, arguments.root)
        result.add(name, pooled=len(trial.task["pooling"]), macro_f1=found)
        print(f"{name}: {len(trial.task['pooling'])} inputs, macro-F1 {found.mean:.3f}", flush=True)
    result.caveats = [
        "The columns and alterations of the recipe were chosen by such figures; the interval resamples "
        "actors, so that differences of .02 between rows say little.",
        f"Statistics of added columns: {', '.join(STATISTICS)}.",
    ]
    result.write()


if __name__ == "__main__":
    main()
