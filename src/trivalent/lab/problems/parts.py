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

from trivalent.core.errors import LeakageError
from trivalent.core.types import FloatArray, IntArray, Modality
from trivalent.lab.datasets.dataset import check_no_overlap


class Role(StrEnum):
    """What a part of the data may be used for."""

    TRAIN = "train"  # fitting, and selection by cross-validation within
    VAL = "val"  # selection: epochs, thresholds, temperatures, weights, hyper-parameters
    TEST = "test"  # one score for each system


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one role, cleaned, with labels under guard.

    Attributes
    ----------
    role : Role
    features : mapping of Modality to array of float, shape (n, d)
        Rows of absent modalities are NaN.
    groups : array of str, shape (n,)
        Video or speaker.
    """

    role: Role
    features: Mapping[Modality, FloatArray]
    groups: NDArray[np.str_]
    _labels: NDArray[np.int64] = field(repr=False)
    _scored: set[tuple[str, int]] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def present(self) -> dict[Modality, NDArray[np.bool_]]:
        """Samples that have a modality, shape (n,) each."""
        return {m: np.asarray(np.isfinite(x).any(axis=1)) for m, x in self.features.items()}

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
            m: np.where(hidden[m][:, None], np.float32(np.nan), x) if m in hidden else x
            for m, x in self.features.items()
        }
        return replace(self, features=features)

    def labels_to_fit(self) -> NDArray[np.int64]:
        """Return the labels for fitting weights, cleaners, resamplers.

        Raises
        ------
        LeakageError
            The part is not for training.
        """
        return self._allowed("fitting", {Role.TRAIN})

    def labels_to_select(self) -> NDArray[np.int64]:
        """Return the labels for the choice of epochs, thresholds, temperatures and the like.

        Raises
        ------
        LeakageError
            The part is the test part.
        """
        return self._allowed("selection", {Role.TRAIN, Role.VAL})

    def _allowed(self, purpose: str, roles: set[Role]) -> NDArray[np.int64]:
        if self.role not in roles:
            raise LeakageError(
                "evaluate.guard_role", roles=" or ".join(sorted(roles)), purpose=purpose, role=self.role
            )
        return self._labels

    def score(
        self,
        system: str,
        predicted: NDArray[Any],
        *,
        seed: int,
        by: Callable[[IntArray, NDArray[Any]], Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Compare finished predictions with the labels, once.

        Parameters
        ----------
        system : str
            Name of what predicted.
        predicted : array, shape (n,) or (n, classes)
            Codes or probabilities, whatever `by` takes.
        seed : int
        by : callable
            (labels, predicted) to metrics.

        Raises
        ------
        LeakageError
            This system and seed were scored on this test part before: a second score is
            a comparison, and comparisons belong on validation data.
        """
        if self.role is Role.TEST:
            if (system, seed) in self._scored:
                raise LeakageError("evaluate.guard_second_score", system=system, seed=seed)
            self._scored.add((system, seed))
        return dict(by(self._labels, predicted))


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
