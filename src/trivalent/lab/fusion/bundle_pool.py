"""The pool of a bundle: fitted on what its experts say of talking clips, and judged without each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trivalent.analyzer import Analyzer
from trivalent.bundle.decision import Decision, ratio
from trivalent.bundle.fusion import Beside, Opinion, softmax
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.types import LABELS, FloatArray, Modality
from trivalent.lab.bundles import write_bundle
from trivalent.lab.datasets.talking import TalkingClip, read_talking
from trivalent.lab.fusion.mosei_posteriors import load_mosei_videos, out_of_fold
from trivalent.lab.fusion.pool_fit import START, FittedPool, Recordings, fit_pool, left_out
from trivalent.lab.measure.metrics import summarize
from trivalent.lab.progress import track

PROTOCOL = (
    "talking clips, analysed as a user does, words as recognised; the answer to each source is that of a "
    "pool fitted without it (macro-F1, log-loss and ECE over the answers to whole clips)"
)


@dataclass(frozen=True, eq=False)
class PooledExperts:
    """Experts whose strengths were fitted with their pool, and what that was worth.

    `answers` are those of the left-one-source-out fits, shape (n, 3).
    """

    experts: dict[Modality, ExpertSpec]
    fitted: FittedPool
    recordings: Recordings
    answers: FloatArray

    def metrics(self) -> dict[str, Any]:
        """Render for bundle.json."""
        labels, groups = self.recordings.labels, self.recordings.groups
        parts = {"all": np.ones(len(labels), bool), **{str(g): groups == g for g in np.unique(groups)}}
        return {
            "protocol": PROTOCOL,
            "validation": {name: summarize(labels[r], self.answers[r]) for name, r in parts.items()},
            "classes": dict(zip(LABELS, np.bincount(labels, minlength=len(LABELS)).tolist(), strict=True)),
        }


def pool_experts(
    experts: Mapping[Modality, ExpertSpec], graphs: Mapping[str, bytes], *, root: Path
) -> PooledExperts:
    """Fit strengths and exponents on the talking clips under `root`.

    Raises
    ------
    DataError
        The clips are not there.
    """
    plain = {m: replace(spec, strength=1.0) for m, spec in experts.items()}
    with TemporaryDirectory() as folder:
        write_bundle(
            Path(folder),
            name="draft",
            experts=plain,
            fusion=START.pool,
            decision=Decision(ratio()),
            card={},
            metrics={},
            graphs=graphs,
        )
        recordings = hear(folder, read_talking(root))
    monologues = read_monologues(root)
    fitted = fit_pool(recordings, monologues=monologues)
    specs = {m: replace(spec, strength=fitted.strengths.get(m, 1.0)) for m, spec in plain.items()}
    answers = left_out(recordings, lambda others: fit_pool(others, monologues=monologues).answers)
    return PooledExperts(specs, fitted, recordings, answers)


def told_pool(pooled: PooledExperts) -> list[str]:
    """Say what each modality counts alone and beside others."""
    return [
        f"{m}: strength {spec.strength:g}, beside others {beside.polar:g}, where neutral {beside.neutral:g}"
        for m, spec in pooled.experts.items()
        for beside in [pooled.fitted.pool.beside.get(m, Beside())]
    ]


def card_of_pool(pooled: PooledExperts, prior: Sequence[float]) -> dict[str, str]:
    """Tell how the verdict comes about: data, what counts, what is expected."""
    sources = ", ".join(np.unique(pooled.recordings.groups).tolist())
    shares = ", ".join(f"{label} {share:.2f}" for label, share in zip(LABELS, prior, strict=True))
    return {
        "fitted on": f"{len(pooled.recordings)} talking clips ({sources})",
        "what counts": "; ".join(told_pool(pooled)),
        "expected classes (--prior)": shares,
    }


def told_metrics(metrics: dict[str, Any]) -> list[str]:
    """Macro-F1 and ECE of every validation part."""
    parts = metrics.get("validation") or metrics["out_of_fold"]
    return [f"{name} macro-F1 {m['macro_f1']:.3f}, ECE {m['ece']:.3f}" for name, m in parts.items()]


def hear(bundle: str | Path, clips: list[TalkingClip]) -> Recordings:
    """Analyse clips as a user does, and keep what each expert said."""
    analyzer = Analyzer(bundle, threads=1)
    analyses = [analyzer.analyze(clip.path) for clip in track(clips, "analysing", total=len(clips))]
    return Recordings.of(
        analyses, np.array([int(c.label) for c in clips]), groups=[c.source for c in clips]
    )


def read_monologues(root: Path) -> Recordings:
    """Take what discriminants say, out of fold, of MOSEI's train and validation videos, each one utterance.

    Raises
    ------
    DataError
        The features are not there.
    """
    videos = load_mosei_videos(root)
    known, said = out_of_fold(videos)
    labels = videos.labels[known]
    prior = np.bincount(labels, minlength=len(LABELS)) / len(labels)
    opinions = {m: Opinion(softmax(np.log(p) - np.log(prior)), np.ones(len(p))) for m, p in said.items()}
    each = np.arange(len(labels))
    return Recordings(
        labels, np.full(len(labels), "mosei-922"), each, np.ones(len(labels)), opinions, prior
    )
