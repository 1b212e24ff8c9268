"""28 points for each eye, columns `eye_lmk_*`: a ring around the iris, the lids, and no pupil.

OpenFace has a model of its own for them. Ours are read off the mesh: eight points of the ellipse around the
iris, and twelve of the contour of the lids, at even steps along the mesh's own points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RING, LIDS, PUPIL = 8, 12, 8  # points of an eye, in this order
EYE = RING + LIDS + PUPIL
MEASURED = np.tile(np.arange(EYE) < RING + LIDS, 2)  # which of the 56 the mesh has

# The iris (centre, then right, top, left, bottom as seen), the lids from the image's left to its right.
# fmt: off
_IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
# fmt: on
CENTRES = np.array([iris[0] for iris in _IRISES])


def _weights() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each of the 56 points as a sum over points of the mesh: these, and their weights; NaN for pupils."""
    index = np.array(sorted({*np.ravel(_IRISES), *np.ravel(_UPPER), *np.ravel(_LOWER)}), np.int64)
    place = {int(point): column for column, point in enumerate(index)}
    weights = np.zeros((2, EYE, len(index)))
    for eye, (iris, upper, lower) in enumerate(zip(_IRISES, _UPPER, _LOWER, strict=True)):
        centre, right, top, left, bottom = (place[point] for point in iris)
        for k in range(RING):  # from the left over the top
            c, s = np.cos(np.pi * (1 - k / 4)) / 2, np.sin(np.pi * k / 4) / 2
            row = weights[eye, k]
            row[centre] += 1
            row[right], row[left], row[top], row[bottom] = c, -c, s, -s
        steps = np.arange(LIDS // 2) * (len(upper) - 1) / (LIDS // 2)
        for k, step in enumerate(steps):  # the upper lid to the right, the lower one back
            for lid, line in enumerate((upper, lower[::-1])):
                low, rest = int(step), step % 1
                row = weights[eye, RING + lid * LIDS // 2 + k]
                row[place[line[low]]] += 1 - rest
                row[place[line[low + 1]]] += rest
    weights[:, RING + LIDS :] = np.nan
    return index, weights.reshape(2 * EYE, len(index))


_INDEX, _WEIGHTS = _weights()


def eye_landmarks(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both eyes, the subject's right one first, shape (56, 3), of landmarks of shape (478, 3).

    Pixels, the depth as well; NaN for the pupils, which the landmarks do not have.
    """
    return np.asarray(_WEIGHTS @ points[_INDEX])


__all__ = ["CENTRES", "EYE", "MEASURED", "eye_landmarks"]
