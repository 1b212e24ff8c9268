"""What simple discriminants say of 922 real MOSEI videos: monologues, in which words carry the sentiment.

Features are MOSEI's own, averaged over whole videos: no figure of them is one of our experts. They tell
what a rule of fusion costs where words decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trivalent.bundle.fusion import softmax
from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, IntArray, LabelMap, Modality, map_scores
from trivalent.lab.decide.calibration import fit_temperature

_FEATURES = {Modality.TEXT: "bert_cls", Modality.AUDIO: "covarep40", Modality.FACE: "openface35"}
_NOT_FEATURES = {Modality.FACE: 4}  # leading columns: constant, time stamp, confidence, success


@dataclass(frozen=True, eq=False)
class MoseiVideos:
    """Features per modality (n, d), labels (n,), mean scores (n,), and fold names (n,)."""

    features: dict[Modality, FloatArray]
    labels: IntArray
    scores: FloatArray
    fold: FloatArray


def load_mosei_videos(root: Path) -> MoseiVideos:
    """Read the 922 videos; columns that are not finite everywhere or constant in train are dropped."""
    path = root / "cmu_mosei" / "video_level_922.npz"
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {k: data[k] for k in (*_FEATURES.values(), "labels7", "fold_sdk")}
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise DataError("mosei.features_922", path=path, error=error) from error
    fold = arrays["fold_sdk"]
    features = {}
    for modality, key in _FEATURES.items():
        x = arrays[key][:, _NOT_FEATURES.get(modality, 0) :].astype(float)
        x = x[:, np.isfinite(x).all(0)]
        features[modality] = x[:, x[fold == "train"].std(0) > 1e-9]
    scores = arrays["labels7"][:, 0].astype(float)
    return MoseiVideos(features, map_scores(scores, LabelMap.BAND), scores, fold)


def out_of_fold(
    videos: MoseiVideos, *, seed: int = 0
) -> tuple[NDArray[np.bool_], dict[Modality, FloatArray]]:
    """Mask of the train and validation videos, and each modality's posteriors about them, out of fold."""
    known = np.isin(videos.fold, ("train", "val"))
    y = videos.labels[known]
    return known, {m: _discriminant(x[known], y, seed=seed) for m, x in videos.features.items()}


def _discriminant(x: FloatArray, y: IntArray, *, seed: int) -> FloatArray:
    """Calibrated posteriors, out of fold."""
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    folds = KFold(10, shuffle=True, random_state=seed)
    logits = np.log(np.clip(cross_val_predict(model, x, y, cv=folds, method="predict_proba"), 1e-9, 1))
    return softmax(logits / fit_temperature(logits, y))
