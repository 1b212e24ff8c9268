"""Action units of one person, from the descriptors of the frames in which the face is seen."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.pixels import Picture
from trivalent.features.openface.aligned import aligned_face
from trivalent.features.openface.columns import INTENSITIES
from trivalent.features.openface.fhog import fhog
from trivalent.features.openface.medians import RunningMedian
from trivalent.features.openface.models import UnitModels
from trivalent.features.openface.post_processing import (
    STRONGEST,
    RunningLevels,
    classified,
    intensities,
    presences,
)
from trivalent.features.openface.shape import Fit

_REMEMBERED = 3000  # frames that OpenFace judges again by the median of the whole recording


class Rule(StrEnum):
    """How the levels of a person are found."""

    OFFLINE = "offline"  # from the whole recording, then smoothed: every row depends on all others
    ONLINE = "online"  # from the rows before


def descriptor(image: Picture, fit: Fit) -> NDArray[np.float64]:
    """Describe a face, shape (4702,): gradients, movement of the points in mm, parameters of the shape."""
    gradients = fhog(aligned_face(image, fit))
    return np.concatenate([gradients.ravel(), fit.deviation.T.ravel(), fit.parameters], dtype=np.float64)


class UnitTrack:
    """The frames of one person, one after the other.

    Memory does not grow with the descriptors: of each frame 35 scores are kept.

    Parameters
    ----------
    models : UnitModels
    rule : Rule
    """

    def __init__(self, models: UnitModels, *, rule: Rule = Rule.OFFLINE) -> None:
        self._models, self._rule = models, rule
        self._median, self._levels = RunningMedian(), RunningLevels(models.cutoffs)
        self._scores: list[NDArray[np.float64]] = []
        self._lowered: list[bool] = []  # whether the median of their moment is taken off already
        self._frames = self._seen = 0

    def add(self, face: NDArray[np.float64] | None) -> None:
        """Take the next frame: its descriptor, shape (4702,), or None where the face is not seen."""
        self._frames += 1
        if face is None:
            self._scores.append(np.full(len(self._models.bias), np.nan))
            self._lowered.append(True)
            return
        self._seen += 1
        if self._frames % 2:
            self._median.add(face)
        score = face @ self._models.weights + self._models.bias
        at_once = self._rule is Rule.ONLINE or self._seen > _REMEMBERED
        if at_once:
            score = score - self._rest()
        if self._rule is Rule.ONLINE:
            score[: len(INTENSITIES)] -= self._levels.after(score[: len(INTENSITIES)])
        self._scores.append(score)
        self._lowered.append(at_once)

    def finish(self) -> NDArray[np.float64]:
        """Return intensities, then presences, shape (frames, 35); NaN where the face is not seen."""
        scores = np.array(self._scores).reshape(-1, len(self._models.bias))
        scores[~np.array(self._lowered, bool)] -= self._rest()
        strength, sign = np.split(scores, [len(INTENSITIES)], axis=1)
        if self._rule is Rule.ONLINE:
            strength, present = np.clip(strength, 0, STRONGEST), classified(sign, self._models.classes)
        else:
            strength = intensities(strength, self._models.cutoffs)
            present = presences(sign, self._models.classes)
        table = np.concatenate([strength, present], axis=1)
        table[np.isnan(scores[:, 0])] = np.nan
        return table

    def _rest(self) -> NDArray[np.float64]:
        """Scores of the face at rest, shape (35,); 0 for the units that do not ask for it."""
        return np.where(self._models.dynamic, self._median.median() @ self._models.weights, 0.0)


__all__ = ["Rule", "UnitTrack", "descriptor"]
