"""A guard against leakage that is code: the labels of a test part cannot be read, only scored against.

Everything that is fitted or selected asks a part for its labels and says what for. Training data
may serve for both, validation data for selection only, and a test part raises. What remains
possible with a test part is one `score` for each system and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError, LeakageError
from trivalent.core.types import FloatArray, Modality
from trivalent.lab.datasets.dataset import Rows, check_no_overlap


class Role(StrEnum):
    """What a part of the data may be used for."""

    TRAIN = "train"  # fitting, and selection by cross-validation within
    VAL = "val"  # selection: epochs, thresholds, temperatures, weights, hyper-parameters
    TEST = "test"  # one score for each system


class Truth(StrEnum):
    """What predictions are compared with."""

    LABELS = "labels"  # of three classes
    SCORES = "scores"  # annotated, from -3 to 3


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one role, cleaned, with labels under guard.

    Attributes
    ----------
    role : Role
    features : mapping of Modality to array of float, shape (n, d) or (n, steps, d)
        Rows of absent modalities are NaN, and steps that a sequence has not.
    groups : array of str, shape (n,)
        Video or speaker.
    """

    role: Role
    features: Mapping[Modality, FloatArray]
    groups: NDArray[np.str_]
    _labels: NDArray[np.int64] = field(repr=False)
    _scores: NDArray[np.float64] | None = field(default=None, repr=False)
    _scored: set[tuple[str, int]] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def present(self) -> dict[Modality, NDArray[np.bool_]]:
        """Samples that have a modality, shape (n,) each."""
        return {
            m: np.asarray(there.any(axis=tuple(range(1, there.ndim)))) for m, there in self.steps.items()
        }

    @property
    def steps(self) -> dict[Modality, NDArray[np.bool_]]:
        """What there is of each modality: steps of a sequence, shape (n, steps), or samples, shape (n,)."""
        return {m: np.asarray(np.isfinite(x).any(axis=-1)) for m, x in self.features.items()}

    @property
    def scored(self) -> bool:
        """Whether every sample has an annotated score."""
        return self._scores is not None and bool(np.isfinite(self._scores).all())

    def hiding(self, hidden: Mapping[Modality, NDArray[np.bool_]]) -> Part:
        """Take modalities away from some samples, as if their recordings lacked them.

        Parameters
        ----------
        hidden : mapping of Modality to bool array, shape (n,)
            Modalities that the part does not have are ignored.

        Returns
        -------
        Part
            With the same guard: what was scored on this one counts for the other.
        """
        features = {
            m: np.where(hidden[m].reshape(-1, *[1] * (x.ndim - 1)), np.float32(np.nan), x)
            if m in hidden
            else x
            for m, x in self.features.items()
        }
        return replace(self, features=features)

    def take(self, rows: Rows, role: Role | None = None) -> Part:
        """Keep rows given by a mask or by positions; those of a training part may take another role.

        Raises
        ------
        LeakageError
            It is the test part, or another role is given to rows that are not for training.
        """
        role = self.role if role is None else role
        self._check("selection", {Role.TRAIN, Role.VAL} if role is self.role else {Role.TRAIN})
        features = {m: x[rows] for m, x in self.features.items()}
        scores = None if self._scores is None else self._scores[rows]
        return Part(role, features, self.groups[rows], self._labels[rows], scores)

    def labels_to_fit(self) -> NDArray[np.int64]:
        """Return the labels for fitting weights, cleaners, resamplers.

        Raises
        ------
        LeakageError
            The part is not for training.
        """
        self._check("fitting", {Role.TRAIN})
        return self._labels

    def scores_to_fit(self) -> NDArray[np.float64]:
        """Return the annotated scores for fitting weights, shape (n,).

        Raises
        ------
        LeakageError
            The part is not for training.
        DataError
            A sample has none.
        """
        self._check("fitting", {Role.TRAIN})
        return self._all_scores()

    def scores_to_select(self) -> NDArray[np.float64]:
        """Return the annotated scores for the choice of epochs and the like, shape (n,).

        Raises
        ------
        LeakageError
            The part is the test part.
        DataError
            A sample has none.
        """
        self._check("selection", {Role.TRAIN, Role.VAL})
        return self._all_scores()

    def labels_to_select(self) -> NDArray[np.int64]:
        """Return the labels for the choice of epochs, thresholds, temperatures and the like.

        Raises
        ------
        LeakageError
            The part is the test part.
        """
        self._check("selection", {Role.TRAIN, Role.VAL})
        return self._labels

    def _check(self, purpose: str, roles: set[Role]) -> None:
        if self.role not in roles:
            raise LeakageError(
                "evaluate.guard_role", roles=" or ".join(sorted(roles)), purpose=purpose, role=self.role
            )

    def _all_scores(self) -> NDArray[np.float64]:
        if self._scores is None or not self.scored:
            lacking = len(self) if self._scores is None else int((~np.isfinite(self._scores)).sum())
            raise DataError("training.no_scores", lacking=lacking, count=len(self), role=self.role)
        return self._scores

    def score(
        self,
        system: str,
        predicted: NDArray[Any],
        *,
        seed: int,
        by: Callable[[Any, NDArray[Any]], Mapping[str, Any]],
        of: Truth = Truth.LABELS,
    ) -> dict[str, Any]:
        """Compare finished predictions with the labels, or with the annotated scores, once.

        Parameters
        ----------
        system : str
            Name of what predicted.
        predicted : array, shape (n,) or (n, classes)
            Codes or probabilities, whatever `by` takes.
        seed : int
        by : callable
            (truth, predicted) to metrics.
        of : Truth

        Raises
        ------
        DataError
            Scores are asked for and a sample has none.
        LeakageError
            This system and seed were scored on this test part before: a second score is
            a comparison, and comparisons belong on validation data.
        """
        if self.role is Role.TEST:
            key = (system if of is Truth.LABELS else f"{system}, {of}", seed)
            if key in self._scored:
                raise LeakageError("evaluate.guard_second_score", system=system, seed=seed)
            self._scored.add(key)
        return dict(by(self._all_scores() if of is Truth.SCORES else self._labels, predicted))


@dataclass(frozen=True, eq=False)
class Parts:
    """Train, validation and test of one problem.

    Raises
    ------
    LeakageError
        A video or speaker lies in two of them.
    """

    train: Part
    val: Part
    test: Part

    def __post_init__(self) -> None:
        parts = (self.train, self.val, self.test)
        groups = np.concatenate([part.groups for part in parts])
        roles = np.concatenate([np.full(len(part), str(part.role)) for part in parts])
        check_no_overlap(groups, roles, "the data", error=LeakageError)
