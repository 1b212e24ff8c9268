"""The scikit-learn face of the lab: fusion networks as a classifier of arrays."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.core.errors import UsageError
from trivalent.core.types import FloatArray, IntArray, Modality, Sentiment
from trivalent.lab.datasets.dataset import Features
from trivalent.lab.decide.answering import Calibration, find_decision, fit_calibration
from trivalent.lab.fit.losses import loss_options as options_of_loss
from trivalent.lab.fusion.classifier_inputs import (
    Columns,
    Layout,
    column_groups,
    join_blocks,
    validation_rows,
)
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, train_system
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.classification import Problem
from trivalent.lab.problems.cleaning import CleaningConfig, fit_cleaner
from trivalent.lab.problems.parts import Part, Parts, Role

LOSS_ALIASES = {"ce": "cross_entropy"}
MIN_CALIBRATION = 30  # validation samples; with fewer, logits stay as they are
_CHUNK = 10_000  # samples that are predicted at once


class TrivalentClassifier(ClassifierMixin, BaseEstimator):
    """A fusion network, or the mean of several seeds of one, as a scikit-learn classifier.

    Labels may be any two or more classes. The epoch, the calibration and the decision rule are
    chosen on an internal validation split by macro-F1. A row of NaN in the columns of a modality
    is a sample without that modality; single NaN cells get the training median.

    Parameters
    ----------
    fusion : str
        See `trivalent.lab.networks.NETWORKS`.
    network_options : dict, optional
        Of the network; see `trivalent.lab.networks.network_options`.
    loss : str
        See `trivalent.lab.fit.losses.LOSSES`; `ce` is `cross_entropy`.
    loss_options : dict, optional
        See `trivalent.lab.fit.losses.loss_options`.
    class_weights : str
        none, sqrt, linear, square or effective; of losses that take them.
    resampling : str
        See `trivalent.lab.problems.resampling.RESAMPLERS`.
    resampling_options : dict, optional
        See `trivalent.lab.problems.resampling.resampler_options`.
    modalities : mapping, optional
        Modality (text, audio, face) to a number of columns, a slice, positions or names; see
        `trivalent.lab.fusion.classifier_inputs.column_groups`. Without, the columns are one block, or are
        grouped by the prefixes `text_`, `audio_` and `face_` of a data frame.
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of Adam; the rate is halved where the validation score stays.
    ensemble : int
        Number of seeds, trained at once, whose logits are averaged.
    validation_fraction : float
        Share of the samples (or groups) that the choices are made on.
    decision : str
        argmax, threshold (of the rarest class) or ratio; the last two need two or three classes.
    calibration : str
        none, temperature or vector; with fewer than 30 validation samples none.
    modality_dropout, mixup : float
        See `trivalent.lab.fusion.task.FusionTask`.
    scaling : str
        zscore, l2 or none.
    clip : float
        Limit in standard deviations (zscore); 0 is off.
    scoring : str
        What `score` returns: a name of scikit-learn, such as `f1_macro`.
    random_state : int, RandomState or None
        Of the split and of the seeds.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    n_features_in_ : int
    modalities_ : dict of Modality to positions of columns
    seeds_ : list of int
    history_ : list, for each seed, of validation scores by epoch
    calibration_ : VectorScaling
    decision_ : DecisionRule

    Examples
    --------
    >>> from trivalent.lab import TrivalentClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["bad", "fair", "good"], 40)
    >>> X = rng.normal(size=(120, 8)) + 2 * np.repeat([0, 1, 2], 40)[:, None]
    >>> model = TrivalentClassifier(modalities={"text": 5, "face": 3}, epochs=5).fit(X, y)
    >>> model.predict_proba(X).shape, bool(model.score(X, y) > 0.9)
    ((120, 3), True)
    """

    def __init__(
        self,
        fusion: str = "attention",
        *,
        network_options: Mapping[str, Any] | None = None,
        loss: str = "cross_entropy",
        loss_options: Mapping[str, Any] | None = None,
        class_weights: str = "none",
        resampling: str = "unchanged",
        resampling_options: Mapping[str, Any] | None = None,
        modalities: Layout | None = None,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        ensemble: int = 1,
        validation_fraction: float = 0.15,
        decision: str = "argmax",
        calibration: str = "temperature",
        modality_dropout: float = 0.0,
        mixup: float = 0.0,
        scaling: str = "zscore",
        clip: float = 5.0,
        scoring: str = "accuracy",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.fusion = fusion
        self.network_options = network_options
        self.loss = loss
        self.loss_options = loss_options
        self.class_weights = class_weights
        self.resampling = resampling
        self.resampling_options = resampling_options
        self.modalities = modalities
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.ensemble = ensemble
        self.validation_fraction = validation_fraction
        self.decision = decision
        self.calibration = calibration
        self.modality_dropout = modality_dropout
        self.mixup = mixup
        self.scaling = scaling
        self.clip = clip
        self.scoring = scoring
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: Sequence[Any] | None = None) -> TrivalentClassifier:
        """Train on samples.

        Parameters
        ----------
        X : array or data frame, shape (n, columns), or mapping of modality to array, shape (n, d)
            Mappings cannot be split by scikit-learn's cross-validation: give frames or arrays there.
        y : array, shape (n,)
            Labels.
        groups : sequence, length n, optional
            Videos or speakers, kept whole in the internal validation split.

        Returns
        -------
        TrivalentClassifier
            Itself.

        Raises
        ------
        ValueError
            X or y are not what scikit-learn allows, or there is one class only.
        UsageError, RecipeError
            A parameter is unknown or impossible.
        DataError
            A modality has no sample or no usable column.
        """
        self._check_parameters()
        values, codes = self._read_to_fit(X, y)
        rng = check_random_state(self.random_state)
        seed, *seeds = rng.randint(2**31 - 1, size=1 + self.ensemble).tolist()
        held_out = validation_rows(codes, fraction=self.validation_fraction, seed=seed, groups=groups)
        names = np.arange(len(codes)) if groups is None else np.unique(groups, return_inverse=True)[1]
        problem = self._problem(values, codes, names.astype(str), held_out)
        with _generators_kept():
            trained = train_system(self._system(), problem, seeds)
        trained.members.eval().double()  # so that a prediction does not depend on its batch
        self._trained, self.cleaners_ = trained, problem.cleaners
        self.seeds_, self.history_ = seeds, trained.history
        self._choose(values[held_out], problem)
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """Return calibrated probabilities, shape (n, classes), in the order of `classes_`."""
        values = self._read_to_predict(X)
        return self.calibration_.probabilities(self._logits(values))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels, shape (n,)."""
        p = self.predict_proba(X)
        return self.classes_[self.decision_.decide(_at_least_three(p))]

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the metric that `scoring` names, accuracy by default as scikit-learn has it."""
        return float(get_scorer(self.scoring)(self, X, y, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self) -> None:
        check_known("decision", self.decision, DecisionKind)
        check_known("calibration", self.calibration, Calibration)
        limits: dict[str, tuple[float, float]] = {
            "epochs": (1, np.inf),
            "batch_size": (1, np.inf),
            "ensemble": (1, np.inf),
            "learning_rate": (1e-12, np.inf),
            "weight_decay": (0, np.inf),
            "validation_fraction": (1e-6, 1 - 1e-6),
            "modality_dropout": (0, 1),
            "mixup": (0, np.inf),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError("classifier.range", name=name, low=low, high=high, value=value)

    def _read_to_fit(self, X: Any, y: ArrayLike) -> tuple[FloatArray, IntArray]:
        if _is_mapping(X):
            if self.modalities is not None:
                raise UsageError("classifier.modalities")
            values, columns = join_blocks(X)
            y = column_or_1d(y, warn=True)
            check_consistent_length(values, y)
            self.n_features_in_ = values.shape[1]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        else:
            values, y = validate_data(
                self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2
            )
            columns = column_groups(
                self.modalities, values.shape[1], names=getattr(self, "feature_names_in_", None)
            )
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected two classes or more in y, got 1 class: {self.classes_[0]!r}")
        if len(self.classes_) > len(Sentiment) and self.decision != DecisionKind.ARGMAX:
            raise UsageError("classifier.classes", decision=self.decision, count=len(self.classes_))
        self.modalities_: Columns = columns
        return values, codes.astype(np.int64)

    def _read_to_predict(self, X: Any) -> FloatArray:
        check_is_fitted(self, "calibration_")
        if _is_mapping(X):
            return join_blocks(X, columns=self.modalities_)[0]
        return validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)

    def _system(self) -> System:
        loss = LOSS_ALIASES.get(self.loss, self.loss)
        loss_options = dict(self.loss_options or {})
        if self.class_weights != "none":
            if "weights" not in options_of_loss(loss):
                raise UsageError("classifier.weights", loss=loss, class_weights=self.class_weights)
            loss_options["weights"] = self.class_weights
        training = replace(
            PAPER_TRAINING,
            epochs=float(self.epochs),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
        )
        return System(
            self.fusion,
            dict(self.network_options or {}),
            loss,
            loss_options,
            self.resampling,
            dict(self.resampling_options or {}),
            self.modality_dropout,
            self.mixup,
            training,
        )

    def _problem(
        self, values: FloatArray, codes: IntArray, groups: NDArray[np.str_], held_out: NDArray[np.bool_]
    ) -> Problem:
        config = CleaningConfig(self.scaling, float(self.clip), explode=0.0)
        cleaners = {}
        for m, columns in self.modalities_.items():
            block = Features(str(m), _names(len(columns)), values[~held_out][:, columns])
            cleaners[m] = fit_cleaner(block, config)
        self.cleaners_ = cleaners
        none = np.zeros(len(codes), bool)
        rows = {Role.TRAIN: ~held_out, Role.VAL: held_out, Role.TEST: none}
        parts = [
            Part(role, self._clean(values[mask]), groups[mask], codes[mask].astype(np.int64))
            for role, mask in rows.items()
        ]
        return Problem("X", Parts(*parts), cleaners, len(self.classes_))

    def _clean(self, values: FloatArray) -> dict[Modality, NDArray[np.float32]]:
        return {
            m: self.cleaners_[m].apply(values[:, columns], _names(len(columns)))[0]
            for m, columns in self.modalities_.items()
        }

    def _logits(self, values: FloatArray) -> FloatArray:
        """Mean over the seeds, shape (n, classes)."""
        logits = []
        for start in range(0, len(values), _CHUNK):
            rows = values[start : start + _CHUNK]
            features = {m: x.astype(np.float64) for m, x in self._clean(rows).items()}
            part = Part(Role.TEST, features, np.full(len(rows), "", np.str_), np.zeros(0, np.int64))
            logits.append(self._trained.logits(part).mean(0))
        return np.concatenate(logits)

    def _choose(self, values: FloatArray, problem: Problem) -> None:
        """Choose calibration and decision rule on the validation samples."""
        logits, labels = self._logits(values), problem.parts.val.labels_to_select()
        kind = self.calibration if len(labels) >= MIN_CALIBRATION else "none"
        self.calibration_ = fit_calibration(kind, logits, labels)
        p = _at_least_three(self.calibration_.probabilities(logits))
        rarest = int(problem.counts().argmin())
        self.decision_: DecisionRule = find_decision(self.decision, p, labels=labels, of=rarest)


def _is_mapping(X: Any) -> bool:
    return isinstance(X, Mapping) and not issparse(X)  # some sparse matrices are mappings


def _at_least_three(p: FloatArray) -> FloatArray:
    """Add a class that is never predicted to two: the rules are made for three."""
    return np.pad(p, ((0, 0), (0, max(0, len(Sentiment) - p.shape[1]))))


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(count))


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Leave the global generators and torch's mode as they were: training sets them."""
    python, numpy = random.getstate(), np.random.get_state()
    strict, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
