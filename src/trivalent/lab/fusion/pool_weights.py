"""How much each modality is worth on spontaneous speech, measured on real MOSEI videos.

The voice and face experts are trained on acted or posed data, where they look far better
than they are on a person who just talks. Their weight in the pool therefore has two factors,
both fitted on the train and validation folds of the 922 videos:

worth
    an expert is tempered (P^t, renormalised) until the information it claims, the mean
    KL(P^t || prior) on its own validation data, equals the information that its modality
    really carries about sentiment in MOSEI: -1/2 ln(1 - r^2) nats for the correlation r of an
    out-of-fold discriminant with the annotation (mutual information of jointly normal
    variables). A voice that claims certainty on acted speech is thus cut down to r = .2.
share
    beside words, voice and face count less, for they partly repeat them; one factor for both is
    fitted, together with kappa, by the log-loss of the pool with the words at exponent 1.
    One, not two: the features of MOSEI are video means and other columns than ours, so that
    finer differences would not carry over.

The words keep weight 1: their expert is calibrated on spoken language itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trivalent.bundle.fusion import Opinion, Pool, softmax
from trivalent.core.errors import DataError
from trivalent.core.types import FloatArray, IntArray, LabelMap, Modality, map_scores
from trivalent.lab.decide.calibration import fit_temperature
from trivalent.lab.measure.metrics import negative_log_likelihood, summarize

KAPPAS = (0.0, 0.5, 1.0, 2.0, 4.0)
_FEATURES = {Modality.TEXT: "bert_cls", Modality.AUDIO: "covarep40", Modality.FACE: "openface35"}
_NOT_FEATURES = {Modality.FACE: 4}  # leading columns: constant, time stamp, confidence, success


@dataclass(frozen=True, eq=False)
class MoseiVideos:
    """Features per modality (n, d), labels (n,), mean scores (n,), and fold names (n,)."""

    features: dict[Modality, FloatArray]
    labels: IntArray
    scores: FloatArray
    fold: FloatArray


@dataclass(frozen=True, eq=False)
class Worth:
    """What the MOSEI videos say.

    `information` in nats, `correlation` of the out-of-fold score with the annotation,
    `share` the common exponent of voice and face with its 95 % bootstrap interval, `kappa` the
    conflict factor, `nll_by_kappa` what each would cost.
    """

    information: dict[Modality, float]
    correlation: dict[Modality, float]
    share: float
    share_interval: tuple[float, float]
    kappa: float
    nll_by_kappa: dict[str, float]
    out_of_fold: dict[str, dict[str, float]]
    test: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Render for the card."""
        return {
            **vars(self),
            "information": {str(m): v for m, v in self.information.items()},
            "correlation": {str(m): v for m, v in self.correlation.items()},
            "share_interval": list(self.share_interval),
        }


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


def measure_worth(videos: MoseiVideos, *, seed: int = 0, rounds: int = 200) -> Worth:
    """Fit on train and validation folds, out of fold; the test fold only reports."""
    known, out, tested = _posteriors(videos, seed=seed)
    y = videos.labels[known]
    prior = np.bincount(y, minlength=3) / len(y)
    correlation = {
        m: float(np.corrcoef(p[:, 2] - p[:, 0], videos.scores[known])[0, 1]) for m, p in out.items()
    }
    fits = {k: _fit_share(out, y, prior, kappa=k) for k in KAPPAS}
    kappa = min(fits, key=lambda k: fits[k][1])
    share = fits[kappa][0]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(rounds):
        rows = rng.integers(len(y), size=len(y))
        draws.append(_fit_share({m: p[rows] for m, p in out.items()}, y[rows], prior, kappa=kappa)[0])
    low, high = np.percentile(draws, [2.5, 97.5])
    return Worth(
        {m: float(-0.5 * np.log(1 - r**2)) for m, r in correlation.items()},
        correlation,
        share,
        (float(low), float(high)),
        kappa,
        {f"{k:g}": loss for k, (_, loss) in fits.items()},
        _table(out, y, share, prior, kappa),
        _table(tested, videos.labels[videos.fold == "test"], share, prior, kappa),
    )


def out_of_fold(
    videos: MoseiVideos, *, seed: int = 0
) -> tuple[NDArray[np.bool_], dict[Modality, FloatArray]]:
    """Mask of the train and validation videos, and each modality's posteriors about them, out of fold."""
    known, out, _ = _posteriors(videos, seed=seed)
    return known, out


def _posteriors(
    videos: MoseiVideos, *, seed: int
) -> tuple[NDArray[np.bool_], dict[Modality, FloatArray], dict[Modality, FloatArray]]:
    """As `out_of_fold`, and what those trained on all these videos say to the test videos."""
    known, out, tested = np.isin(videos.fold, ("train", "val")), {}, {}
    for m, x in videos.features.items():
        asked = x[videos.fold == "test"]
        out[m], tested[m] = _discriminant(x[known], videos.labels[known], asked, seed=seed)
    return known, out, tested


def temper_to(probabilities: FloatArray, *, prior: FloatArray, information: float) -> float:
    """Find t in [0, 1] with mean KL(P^t-tempered evidence || prior) equal to `information`.

    Examples
    --------
    >>> p = np.array([[.9, .05, .05], [.05, .05, .9]])
    >>> 0 < temper_to(p, prior=np.full(3, 1 / 3), information=0.05) < 0.5
    True
    """
    evidence = np.log(np.clip(probabilities, 1e-6, 1)) - np.log(prior)

    def claimed(t: float) -> float:
        p = softmax(np.log(prior) + t * evidence)
        return float((p * (np.log(np.clip(p, 1e-12, 1)) - np.log(prior))).sum(1).mean())

    if claimed(1.0) <= information:
        return 1.0
    return float(brentq(lambda t: claimed(t) - information, 0.0, 1.0))


def _discriminant(
    x: FloatArray, y: IntArray, x_test: FloatArray, *, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Calibrated posteriors: out of fold on the known videos, and on the test videos."""
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    folds = KFold(10, shuffle=True, random_state=seed)
    logits = np.log(np.clip(cross_val_predict(model, x, y, cv=folds, method="predict_proba"), 1e-9, 1))
    temperature = fit_temperature(logits, y)
    test = np.log(np.clip(model.fit(x, y).predict_proba(x_test), 1e-9, 1))
    return softmax(logits / temperature), softmax(test / temperature)


def _fuse(out: dict[Modality, FloatArray], share: float, prior: FloatArray, *, kappa: float) -> FloatArray:
    rule = Pool(dict.fromkeys(Modality, 1.0), prior, share, kappa)
    return rule.posterior({m: Opinion(p, prior) for m, p in out.items()})


def _fit_share(
    out: dict[Modality, FloatArray], y: IntArray, prior: FloatArray, *, kappa: float
) -> tuple[float, float]:
    """Return the share with the lowest log-loss, and that loss."""
    found = minimize_scalar(
        lambda share: negative_log_likelihood(y, _fuse(out, share, prior, kappa=kappa)),
        bounds=(1e-3, 1.0),
        method="bounded",
    )
    return float(found.x), float(found.fun)


def _table(
    out: dict[Modality, FloatArray],
    y: IntArray,
    share: float,
    prior: FloatArray,
    kappa: float,
) -> dict[str, dict[str, float]]:
    rows = {"constant": np.tile(prior, (len(y), 1)), **{str(m): p for m, p in out.items()}}
    rows["fused"] = _fuse(out, share, prior, kappa=kappa)
    return {name: summarize(y, p) for name, p in rows.items()}
