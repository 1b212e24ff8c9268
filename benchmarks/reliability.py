"""Reliability of the default bundle: how often an answer is right, by its confidence.

Usage: python benchmarks/reliability.py [--root DIR] [--model NAME|PATH]

Writes results/reliability.*: for the fused answer to talking clips (each source by a pool that was fitted
without it), and for each expert and test part (those of experts.py) the mean confidence
and the share of right answers in fifteen bins of equal width, whose weighted gap is the ECE of
results/expert-*. The app draws it. Nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experts import normalized
from results_file import Result, Value
from trivalent.bundle.fusion import softmax
from trivalent.bundle.loading import Bundle, load_bundle
from trivalent.core.types import FloatArray, IntArray, Modality
from trivalent.lab.datasets.ravdess import SENTIMENTS, TEST_ACTORS
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.talking import read_talking
from trivalent.lab.datasets.text import load_corpus
from trivalent.lab.experts.judged_voice import judge_takes
from trivalent.lab.experts.sources import load_tabular
from trivalent.lab.experts.text import logits_of
from trivalent.lab.fusion.bundle_pool import hear, read_monologues
from trivalent.lab.fusion.pool_fit import fit_pool, left_out
from trivalent.lab.measure.metrics import bootstrap_interval, expected_calibration_error
from trivalent.lab.measure.uncertainty import reliability

BINS = 15
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
Part = tuple[str, str, IntArray, FloatArray, np.ndarray]  # modality, corpus, labels, probabilities, groups


def fused(where: str, bundle: Bundle, root: Path) -> Part:
    """Answer the talking clips, each source by a pool that was fitted without it."""
    monologues, clips = read_monologues(root), hear(where, read_talking(root))
    clips = clips.of_strength({m: 1 / e.spec.strength for m, e in bundle.experts.items()})
    p = left_out(clips, lambda others: fit_pool(others, monologues=monologues).answers)
    return "fused", "talking", clips.labels, p, np.arange(len(clips)).astype(str)


def parts(bundle: Bundle, root: Path) -> Iterator[Part]:
    """Ask every expert about its test parts."""
    text, audio, face = (bundle.experts[m] for m in Modality)
    for corpus in ("sst5", "meld", "tweeteval", "mosei"):
        data = load_corpus(corpus, "test", root=root)
        p = softmax(logits_of(text, data.texts) / text.spec.temperature)
        yield "text", corpus, data.labels, p, np.array(data.groups)
    pictures, _, test = load_tabular("faces", pooling=face.spec.pooling, root=root)
    x = normalized(pictures, face.spec)
    for source in np.unique(pictures.sources):
        rows = test & (pictures.sources == source)
        p = face.calibrate(face.run(x[rows]))
        yield "face", str(source), pictures.labels[rows], p, pictures.groups[rows]
    takes, p = judge_takes(audio, root=root, actors=TEST_ACTORS)
    labels = np.array([int(SENTIMENTS[take.emotion]) for take in takes])
    yield "audio", "ravdess", labels, p, np.array([take.actor for take in takes])


def main() -> None:
    """Write the bins of every expert and test part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model, threads=1)
    result = Result("reliability", "the test parts of expert-text, expert-voice and expert-face")
    result.extra["bundle"] = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    root = data_root(arguments.root)
    together = fused(arguments.model, bundle, root)
    for of, corpus, labels, p, groups in (together, *parts(bundle, root)):
        low, high = bootstrap_interval(
            expected_calibration_error, labels, probabilities=p, groups=groups, rounds=300
        )
        ece = Value(expected_calibration_error(labels, p), low, high)
        result.add(f"{of}, {corpus}: all", n=float(len(labels)), ece=ece)
        found = reliability(p.max(1), p.argmax(1) == labels, bins=BINS)
        for i in np.flatnonzero(found.count):
            result.add(
                f"{of}, {corpus}: {i / BINS:.3f} to {(i + 1) / BINS:.3f}",
                n=float(found.count[i]),
                confidence=float(found.confidence[i]),
                right=float(found.frequency[i]),
            )
    result.caveats += [
        "The fused answer is about few clips, which were looked at while the rule of fusion was made.",
        "Bins with few answers say little; n tells how many there are.",
        "Intervals are 95 % bootstrap intervals over dialogues, videos or people.",
    ]
    result.write()


if __name__ == "__main__":
    main()
