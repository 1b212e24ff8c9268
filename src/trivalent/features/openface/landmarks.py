"""The 68 points of OpenFace among the 478 that our graph finds.

The order is that of the 300-W annotations (Sagonas et al., 2013): jaw, brows, nose, eyes, outer lips,
inner lips, each from the image's left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# fmt: off
POINTS_68 = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
])
# fmt: on


def landmarks_68(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pick x and y of the 68 points, shape (68, 2), of landmarks of shape (478, 3).

    They lie beside those of OpenFace by .04 (eyes, nose, mouth), .09 (brows) and .14 (jaw) of the distance
    between the outer corners of the eyes; a fit of the shape model takes up a part of it.
    """
    return points[POINTS_68, :2]


__all__ = ["POINTS_68", "landmarks_68"]
