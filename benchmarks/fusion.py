"""What each modality is worth on real MOSEI videos, and the fusion weights that follow.

Usage: python benchmarks/fusion.py [--root DIR]; writes results/fusion.*
"""

from __future__ import annotations

import argparse
from pathlib import Path

from results_file import Result, Value
from trivalent.bundle.loading import load_bundle
from trivalent.lab.datasets.root import data_root
from trivalent.lab.fusion.pool_weights import load_mosei_videos, measure_worth


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=None)
    worth = measure_worth(load_mosei_videos(data_root(parser.parse_args().root)))
    result = Result(
        "fusion", "922 CMU-MOSEI videos (bert_cls, covarep40, openface35); test fold 180", seeds=[0]
    )
    for modality, r in worth.correlation.items():
        result.add(f"worth: {modality}", correlation=r, information_nats=worth.information[modality])
    result.add("factor beside words", value=Value(worth.share, *worth.share_interval))
    result.add("kappa", value=worth.kappa)
    for kappa, loss in worth.nll_by_kappa.items():
        result.add(f"out of fold, kappa {kappa}", nll=loss)
    for fold, table in (("out of fold", worth.out_of_fold), ("test", worth.test)):
        for name, row in table.items():
            keys = ("macro_f1", "accuracy", "negative_recall", "nll", "ece")
            result.add(f"{fold}: {name}", **{k: row[k] for k in keys})
    for modality, weight in load_bundle("default").fusion.weights.items():
        result.add(f"default bundle: weight of {modality}", value=weight)
    result.caveats += [
        "Labels: sign of a video's mean score, neutral within 1/6. The discriminants use MOSEI's own "
        "features (video means): they measure what a modality is worth, not our experts.",
        "Correlation and fits are out of fold on train and validation videos; the test fold only reports.",
    ]
    result.write()


if __name__ == "__main__":
    main()
