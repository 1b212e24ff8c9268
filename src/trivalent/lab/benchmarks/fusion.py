"""Ways to join modalities: networks, subsets of modalities, and what is left when modalities are missing.

Missing is simulated on test: of all pairs of sample and modality a share is removed at random, which
may leave a sample with nothing. Each seed has removals of its own, the same for all networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.core.errors import DataError
from trivalent.lab.benchmarks import choice_figures as figures
from trivalent.lab.benchmarks.bench import Bench
from trivalent.lab.benchmarks.fusion_study import (
    DISSECTED,
    DROPOUT,
    EPOCHS,
    MEAN,
    NETWORKS,
    RATES,
    SINGLE,
    TRAININGS,
    FusionStudy,
    missing,
    subset_name,
)
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.fusion.seed_training import PAPER_TRAINING
from trivalent.lab.measure.result_files import Result


def run_fusion(
    data: Mapping[str, Dataset],
    *,
    seeds: Sequence[int],
    epochs: float = EPOCHS,
    networks: Sequence[str] = NETWORKS,
) -> tuple[Result, list[FusionStudy]]:
    """Train, remove, score and judge, for each data set.

    Parameters
    ----------
    data : mapping of str to Dataset
        By the name that rows begin with; each with features of two or more modalities.
    seeds : sequence of int
    epochs : float
    networks : sequence of str
    """
    title = f"{', '.join(data)}; rows are problem: network / training / test condition"
    # Not `fusion`: that file is about the weights of the shipped bundle.
    result, bench = Result("fusion-networks", title, seeds=list(seeds)), Bench(tuple(seeds))
    studies = [FusionStudy(name, own, bench, result, epochs, networks) for name, own in data.items()]
    best, claims = {}, []
    for study in studies:
        study.run()
        best[study.name], told = study.judge()
        claims += told
    result.caveats = _caveats(studies)
    result.extra = {
        "best_on_validation": best,
        "claims": claims,
        "confusions": {name: m.tolist() for name, m in bench.confusions.items()},
    }
    return result, studies


def _caveats(studies: Sequence[FusionStudy]) -> list[str]:
    told = []
    for study in studies:
        parts, test = study.problem.parts, study.problem.parts.test
        left = 100 * RATES[-1] ** len(study.modalities)
        told.append(
            f"{study.name}: {len(parts.train)} train, {len(parts.val)} val, {len(test)} test samples of "
            f"{len(np.unique(test.groups))} groups; {', '.join(study.modalities)}. "
            f"Minority: {study.minority.label}. "
            f"At {missing(RATES[-1])} some {left:.0f} % of the samples have nothing left."
        )
    return [
        *told,
        f"As the paper trains (Adam, batches of {PAPER_TRAINING.batch_size}, plain cross-entropy), at most "
        f"{studies[0].epochs:g} epochs; the epoch is chosen by macro-F1 on complete validation data. Sizes "
        "and options of the networks are their defaults, not tuned: a row says what a network does out of "
        "the box.",
        "Test was scored once per row and seed. Intervals and claims are over seeds, each with removals of "
        "its own, and over test groups; each claim is tested by itself, without a correction for their "
        "number.",
        f"Modality dropout hides each modality with probability {DROPOUT} in training, never the last one. "
        "Without it a network has never seen a gap, and what stands for an absent modality is untrained; "
        "so too for one modality alone, whose answer from nothing is arbitrary.",
        "`mult` gets each modality as a sequence of one step: its attention over time has nothing to do "
        "here. Features are averages over a take or a whole video.",
        "`network on SUBSET` was trained on the subset; `SUBSET only` was trained on all and lost the rest "
        "on test. Concatenation of one modality is `single`.",
    ]


def draw(studies: Sequence[FusionStudy], out: Path) -> list[Path]:
    """Draw macro-F1 over what is missing, and by subset."""
    curves: dict[tuple[str, str], dict[str, list[float]]] = {}
    floors: dict[str, float] = {}
    for study in studies:
        for training in TRAININGS:
            names = [*study.networks, MEAN]
            names += [f"{SINGLE} on {m}" for m in study.modalities] if training == "plain" else []
            curves[study.name, training] = {
                n: [float(study.macro(n, training, missing(rate)).mean()) for rate in RATES] for n in names
            }
        constants = [
            k
            for k in study.bench.figures
            if k.startswith((f"{study.name}: always", f"{study.name}: at random"))
        ]
        floors[study.name] = max(float(study.bench.figures[k]["macro_f1"].mean()) for k in constants)
    bars = {study.name: _by_subset(study) for study in studies}
    return [
        figures.missing_curves(
            curves, rates=RATES, floors=floors, path=out / "fusion-networks-missing.png"
        ),
        figures.subset_bars(bars, out / "fusion-networks-subsets.png"),
    ]


def _by_subset(study: FusionStudy) -> dict[str, dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = {}
    for network in [n for n in DISSECTED if n in study.networks]:
        own: dict[str, Any] = {}
        for subset in study.subsets():
            alone = SINGLE if network == "concatenation" and len(subset) == 1 else network
            name = subset_name(subset)
            own[name] = study.value(f"{alone} on {name}", "plain", missing(0))
        whole = subset_name(study.modalities)
        lines[f"{network}, trained on the subset"] = own | {
            whole: study.value(network, "plain", missing(0))
        }
        for training in TRAININGS:
            lost = {
                subset_name(s): study.value(network, training, f"{subset_name(s)} only")
                for s in study.subsets()
            }
            whole_row = study.value(network, training, missing(0))
            lines[f"{network}, trained on all ({training})"] = lost | {whole: whole_row}
    return lines


_DATA = {"MOSEI-922": ("mosei-922", "sdk-subset"), "RAVDESS": ("ravdess", "actors")}


def benchmark(root: Path, seeds: Sequence[int], out: Path, synthetic: bool) -> Result:
    """Read the data sets, run, draw.

    Raises
    ------
    DataError
        None of them is there.
    """
    del synthetic  # none of these is
    data, absent = {}, []
    for name, (data_set, protocol) in _DATA.items():
        try:
            data[name] = find_dataset(data_set).read(root, protocol)
        except DataError as error:
            absent.append(f"{name} ({error})")
    if not data:
        raise DataError("benchmark.neither", data=" or ".join(_DATA), root=root)
    result, studies = run_fusion(data, seeds=seeds)
    if absent:
        result.caveats.append(f"Not there, or damaged, and so left out: {'; '.join(absent)}.")
    draw(studies, out)
    return result
