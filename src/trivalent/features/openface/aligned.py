"""The face as OpenFace's models look at it: upright, 112 pixels wide, without what lies around it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trivalent.features.face.pixels import Picture, warped
from trivalent.features.openface.models import ShapeModel
from trivalent.features.openface.shape import Fit

SIDE = 112  # pixels
_SCALE = 0.7  # pixels per millimetre of the mean shape
_FOREHEAD = 30.0  # pixels by which the brows and the ends of the jaw are moved up, so that it is seen
_RAISED = np.array([0, 16, *range(17, 27)])
# Points that hardly move with expression.
_RIGID = np.array(
    [1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47]
)


def aligned_face(image: Picture, fit: Fit) -> Picture:
    """Cut the face out of a picture, turned upright, black around the face, shape (112, 112, 3).

    Parameters
    ----------
    image : array of uint8, shape (h, w, 3)
    fit : Fit
        Of the shape model to this picture.
    """
    turn = _similarity(fit)
    inverse = np.linalg.inv(turn)
    back = np.column_stack([inverse, fit.translation - inverse @ np.full(2, SIDE / 2)])
    face = _warped_on_black(image, back)
    points = (fit.points - fit.translation) @ turn.T + SIDE / 2
    points[_RAISED, 1] -= _FOREHEAD
    face[~covered(points, fit.model.triangles)] = 0
    return face


def covered(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which pixels lie in one of the triangles, shape (112, 112), their edges included.

    Each triangle covers a stretch of each line of pixels, between the lowest and the highest x at which
    its edges cross that line.
    """
    lines = np.arange(SIDE, dtype=np.float64)
    corners = points[triangles]  # (triangles, 3, 2)
    (x1, y1), (x2, y2) = (
        np.moveaxis(ends, -1, 0)[..., None] for ends in (corners, np.roll(corners, -1, axis=1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = x1 + (lines - y1) / (y2 - y1) * (x2 - x1)
    crossed = (np.minimum(y1, y2) <= lines) & (lines <= np.maximum(y1, y2)) & (y1 != y2)
    first = np.ceil(np.where(crossed, crossings, np.inf).min(axis=1))
    last = np.floor(np.where(crossed, crossings, -np.inf).max(axis=1))
    first, last = np.maximum(first, 0), np.minimum(last, SIDE - 1)
    triangle, line = np.nonzero(first <= last)
    changes = np.zeros((SIDE, SIDE + 1), np.int64)
    np.add.at(changes, (line, first[triangle, line].astype(int)), 1)
    np.add.at(changes, (line, last[triangle, line].astype(int) + 1), -1)
    return np.asarray(changes.cumsum(axis=1)[:, :SIDE] > 0)


def _similarity(fit: Fit) -> NDArray[np.float64]:
    """Turn and scale, shape (2, 2), from the picture to the mean shape (Kabsch, 1976); no reflection."""
    target, spread = _target(fit.model)
    source = fit.points[_RIGID]
    source = source - source.mean(axis=0)
    rms = np.sqrt((source**2).mean())
    u, _, vt = np.linalg.svd((source / rms).T @ target)
    mirror = np.diag([1.0, np.linalg.det(u @ vt)])
    return np.asarray((u @ mirror @ vt).T * (spread / rms))


@lru_cache(4)
def _target(model: ShapeModel) -> tuple[NDArray[np.float64], float]:
    """Rigid points of the mean shape, centred and of unit spread; and their spread in pixels."""
    points = model.mean[_RIGID, :2] * _SCALE
    points = points - points.mean(axis=0)
    spread = float(np.sqrt((points**2).mean()))
    return points / spread, spread


def _warped_on_black(image: Picture, back: NDArray[np.float64]) -> Picture:
    """Warp; outside the picture it is black, not its last row again."""
    corners = back @ np.array([[0, SIDE, 0, SIDE], [0, 0, SIDE, SIDE], [1, 1, 1, 1]])
    height, width = image.shape[:2]
    if (corners < 0).any() or (corners >= np.array([[width - 1], [height - 1]])).any():
        image = np.pad(image, ((1, 1), (1, 1), (0, 0)))
        back = back + np.array([[0, 0, 1], [0, 0, 1]])
    return warped(image, back, SIDE)


__all__ = ["SIDE", "aligned_face", "covered"]
