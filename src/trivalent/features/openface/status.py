"""How far each column can be trusted, by what computed it.

The figures compare our columns with those of OpenFace's program, frame by frame. A column below the limits
is not worth using by itself; in some, OpenFace's own two detectors of landmarks differ as much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trivalent.core.messages import Message
from trivalent.features.openface.columns import COLUMNS
from trivalent.features.openface.eyes import MEASURED

LEAST_R = 0.6  # of a number; less than this share of r^2 = .36 of the program's variance is not ours
LEAST_F1 = 0.5  # of a presence
MIN_WIDTH_PX = 60.0  # of a face (the box of its landmarks) for its action units
MAX_YAW_RAD = float(np.radians(30.0))  # from the line of sight, for its action units


class ColumnStatus(StrEnum):
    """What a column is worth."""

    EXACT = "exact"  # the program's own value
    DERIVED = "derived"  # the same quantity by another way; it agrees as far as stated
    UNRELIABLE = "unreliable"  # the same quantity, but it hardly agrees
    NOT_MEASURABLE = "not measurable"  # NaN throughout


class Engine(StrEnum):
    """Who computes the columns."""

    PROGRAM = "program"  # the user's own OpenFace, or a CSV that it wrote
    MODELS = "models"  # our landmarks and the model files of the user's OpenFace
    LANDMARKS = "landmarks"  # our landmarks alone


@dataclass(frozen=True)
class ColumnState:
    """A status, its reason, and the agreement with the program where it was measured.

    Attributes
    ----------
    status : ColumnStatus
    reason : Message, optional
        None where a column is exact.
    agreement : float, optional
        Pearson's r by frame; F1 of a presence.
    """

    status: ColumnStatus
    reason: Message | None = None
    agreement: float | None = None


# By pattern of names; of several columns under one, the least. Against OpenFace with its CLNF landmarks:
# 702 frames of films, the face turned by less than 45 degrees.
_GAZE: Mapping[str, float] = {  # the same irises and the same rule, with model files and without
    **{"gaze_0_x": 0.90, "gaze_1_x": 0.92, "gaze_angle_x": 0.95},
    **{"gaze_[01]_y": 0.52, "gaze_[01]_z": 0.51, "gaze_angle_y": 0.51},
}
_MODELS: Mapping[str, float] = {
    **_GAZE,
    **{"pose_Rx": 0.80, "pose_Ry": 0.98, "pose_Rz": 0.97},
    **{"p_scale": 0.996, "p_rx": 0.85, "p_ry": 0.97, "p_rz": 0.97},
    **{"p_0": 0.22, "p_1": 0.79, "p_2": 0.78},
    r"p_\d+": 0.22,  # the mean of those that are left
}
# Without model files the pose was compared on five clips only (benchmarks/results/openface-columns.json).
_LANDMARKS: Mapping[str, float] = {**_GAZE, "pose_Rx": 0.51, "pose_Ry": 0.99, "pose_Rz": 0.98}
# fmt: off
# Against published CSV files: 60 clips of films, 5,507 frames. The two detectors of OpenFace itself agree
# by r = .74 on the mean of the 17 (31 of the clips).
_INTENSITIES: Mapping[str, float] = {
    "AU01_r": 0.41, "AU02_r": 0.53, "AU04_r": 0.85, "AU05_r": 0.52, "AU06_r": 0.83,
    "AU07_r": 0.85, "AU09_r": 0.56, "AU10_r": 0.86, "AU12_r": 0.86, "AU14_r": 0.70,
    "AU15_r": 0.38, "AU17_r": 0.74, "AU20_r": 0.54, "AU23_r": 0.47, "AU25_r": 0.73,
    "AU26_r": 0.65, "AU45_r": 0.79,
}
_PRESENCES: Mapping[str, float] = {  # F1 of "present" on the same frames
    "AU01_c": 0.43, "AU02_c": 0.63, "AU04_c": 0.77, "AU05_c": 0.71, "AU06_c": 0.62,
    "AU07_c": 0.79, "AU09_c": 0.39, "AU10_c": 0.78, "AU12_c": 0.72, "AU14_c": 0.44,
    "AU15_c": 0.64, "AU17_c": 0.62, "AU20_c": 0.54, "AU23_c": 0.60, "AU25_c": 0.64,
    "AU26_c": 0.53, "AU28_c": 0.28, "AU45_c": 0.67,
}
# fmt: on
_EYES = re.compile(r"eye_lmk_[xyXYZ]_(\d+)")


def column_states(engine: Engine) -> dict[str, ColumnState]:
    """Tell the state of each of `COLUMNS`.

    >>> column_states(Engine.MODELS)["AU12_r"].status, column_states(Engine.LANDMARKS)["AU12_r"].status
    (<ColumnStatus.DERIVED: 'derived'>, <ColumnStatus.NOT_MEASURABLE: 'not measurable'>)
    """
    return {name: _state(name, engine) for name in COLUMNS}


def flagged(width_px: ArrayLike, yaw_rad: ArrayLike) -> NDArray[np.bool_]:
    """Tell in which rows action units are unreliable whatever the column: a small face, or a turned one.

    Parameters
    ----------
    width_px : array of float
        Of the box of the landmarks.
    yaw_rad : array of float
        Of the face from the line of sight, as in `p_ry`. A row without a face (NaN) is not flagged.
    """
    small = np.asarray(width_px, np.float64) < MIN_WIDTH_PX
    return small | (np.abs(np.asarray(yaw_rad, np.float64)) > MAX_YAW_RAD)


def _state(name: str, engine: Engine) -> ColumnState:
    if engine is Engine.PROGRAM or name in ("frame", "timestamp"):
        return ColumnState(ColumnStatus.EXACT)
    eye = _EYES.fullmatch(name)
    if eye and not MEASURED[int(eye[1])]:
        return ColumnState(ColumnStatus.NOT_MEASURABLE, Message("openface.state_pupil"))
    if engine is Engine.LANDMARKS and name.startswith(("AU", "p_")):
        return ColumnState(ColumnStatus.NOT_MEASURABLE, Message("openface.state_no_models"))
    if name in _PRESENCES:
        f1 = _PRESENCES[name]
        if f1 < LEAST_F1:
            reason = Message("openface.state_weak_presence", f1=f1, limit=LEAST_F1)
            return ColumnState(ColumnStatus.UNRELIABLE, reason, f1)
        return ColumnState(ColumnStatus.DERIVED, Message("openface.state_rule"), f1)
    r = _agreement(name, engine)
    if r is not None and r < LEAST_R:
        reason = Message("openface.state_weak", r=r, limit=LEAST_R)
        return ColumnState(ColumnStatus.UNRELIABLE, reason, r)
    return ColumnState(ColumnStatus.DERIVED, _reason(name, engine), r)


def _agreement(name: str, engine: Engine) -> float | None:
    figures = {**_INTENSITIES, **_MODELS} if engine is Engine.MODELS else _LANDMARKS
    return next((r for pattern, r in figures.items() if re.fullmatch(pattern, name)), None)


def _reason(name: str, engine: Engine) -> Message:
    if name == "face_id":
        return Message("openface.state_person")
    if name == "confidence":
        return Message("openface.state_confidence")
    if name == "success":
        return Message("openface.state_success")
    if name.startswith("eye_lmk"):
        return Message("openface.state_eyes")
    if engine is Engine.MODELS:
        return Message("openface.state_rule")
    return Message("openface.state_points" if name.startswith(("x_", "y_")) else "openface.state_mesh")


__all__ = [
    "LEAST_F1",
    "LEAST_R",
    "MAX_YAW_RAD",
    "MIN_WIDTH_PX",
    "ColumnState",
    "ColumnStatus",
    "Engine",
    "column_states",
    "flagged",
]
