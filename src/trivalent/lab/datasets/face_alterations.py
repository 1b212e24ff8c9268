"""Pictures of faces made harder: seen from afar and enlarged, out of focus, turned, all of it."""

from __future__ import annotations

from enum import StrEnum
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.interpolate import LinearNDInterpolator

Picture = NDArray[np.uint8]  # shape (h, w, 3), RGB
Points = NDArray[np.float64]  # shape (478, 3), pixels; z grows away from the camera
WIDTHS_PX = (28.0, 80.0)  # of a face seen from afar
QUALITIES = (40, 90)  # of JPEG
BLURS = (0.008, 0.022)  # standard deviation over the width of the face
YAWS, PITCHES = (10.0, 40.0), (-12.0, 12.0)  # degrees; yaw to either side
MARGIN = 0.25  # around a picture whose face is turned, filled with its border
CELLS = 36  # of the mesh that is warped, along each side
HIDDEN = 0.04, 0.08  # over the width of the face: so near in the picture, and so far behind


class Alteration(StrEnum):
    """What is done to a picture; `ROUGH` turns the face, shrinks the picture and enlarges it."""

    NONE = "none"
    SMALL = "small"
    BLUR = "blur"
    TURN = "turn"
    ROUGH = "rough"


def altered(
    picture: Picture, points: Points, *, how: Alteration, rng: np.random.Generator
) -> tuple[Picture, Points]:
    """Alter a picture by random amounts; return it and where the landmarks of the face are in it.

    Parameters
    ----------
    picture : array of uint8, shape (h, w, 3)
    points : array, shape (478, 3)
        Landmarks of the face in pixels.
    """
    width = float(np.ptp(points[:, 0]))
    if how in (Alteration.TURN, Alteration.ROUGH):
        yaw = rng.uniform(*YAWS) * rng.choice([-1, 1])
        picture, points = turned(picture, points, yaw=yaw, pitch=rng.uniform(*PITCHES))
    if how is Alteration.BLUR:
        blur = ImageFilter.GaussianBlur(rng.uniform(*BLURS) * width)
        picture = np.array(Image.fromarray(picture).filter(blur))
    if how in (Alteration.SMALL, Alteration.ROUGH):
        share = rng.uniform(*WIDTHS_PX) / width
        picture = _small(picture, share=share, quality=int(rng.integers(*QUALITIES)))
    return picture, points


def turned(picture: Picture, points: Points, *, yaw: float, pitch: float) -> tuple[Picture, Points]:
    """Turn a head by degrees to the right of the picture and down.

    The landmarks are turned in space and drag the picture along; a border is added, which stays.
    """
    margin = round(MARGIN * max(picture.shape[:2]))
    picture = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    points = points + np.array([margin, margin, 0])
    height, width = picture.shape[:2]
    size = float(np.ptp(points[:, 0]))
    middle = points.mean(axis=0) + np.array([0, 0, size / 2])  # of the head
    moved = (points - middle) @ _rotation(np.radians(yaw), np.radians(pitch)).T + middle
    seen = ~_hidden(moved, size)
    along = np.linspace(0, 1, 9)
    edge = np.unique([(x, y) for a in along for x, y in ((a, 0), (a, 1), (0, a), (1, a))], axis=0)
    edge = edge * [width, height]
    source = LinearNDInterpolator(
        np.vstack([moved[seen, :2].clip(1, [width - 1, height - 1]), edge]),
        np.vstack([points[seen, :2], edge]),
    )
    xs, ys = (np.linspace(0, side, CELLS + 1).round().astype(int) for side in (width, height))
    nodes = source(*np.meshgrid(xs, ys))
    mesh = [
        (
            (int(xs[j]), int(ys[i]), int(xs[j + 1]), int(ys[i + 1])),
            tuple(np.concatenate([nodes[i, j], nodes[i + 1, j], nodes[i + 1, j + 1], nodes[i, j + 1]])),
        )
        for i in range(CELLS)
        for j in range(CELLS)
    ]
    image = Image.fromarray(picture)
    dragged = image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    return np.array(dragged), moved


def _rotation(yaw: float, pitch: float) -> NDArray[np.float64]:
    c, s = np.cos(yaw), np.sin(yaw)
    across = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ across


def _hidden(points: Points, size: float) -> NDArray[np.bool_]:
    """Tell which landmarks lie behind others; z grows away from the camera."""
    near, behind = (share * size for share in HIDDEN)
    apart = np.linalg.norm(points[:, None, :2] - points[None, :, :2], axis=-1)
    deeper = points[:, None, 2] - points[None, :, 2]
    return ((apart < near) & (deeper > behind)).any(axis=1)


def _small(picture: Picture, *, share: float, quality: int) -> Picture:
    image = Image.fromarray(picture)
    size = image.size
    small = image.resize((max(16, round(size[0] * share)), max(16, round(size[1] * share))))
    stored = BytesIO()
    small.resize(size).save(stored, "jpeg", quality=quality)
    with Image.open(stored) as again:
        return np.array(again.convert("RGB"))
