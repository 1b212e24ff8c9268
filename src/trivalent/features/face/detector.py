"""BlazeFace detectors: short range (128 px) first, long range (256 px) and tiles for small faces.

Sources: Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile
GPUs", CVPR Workshop on Computer Vision for AR and VR 2019, and the MediaPipe model card
of BlazeFace. Both graphs share one layout of 896 anchors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import asset_path
from trivalent.features.face.graphs import BACK_DETECTOR, Graph, TaskArchive, sigmoid
from trivalent.features.face.pixels import averaged, interpolated

# (cells along a side, anchors per cell) of the two feature maps, whatever the input size.
ANCHOR_GRIDS = ((16, 2), (8, 6))
KEYPOINTS = 6  # right eye, left eye, nose tip, mouth, right and left ear, as seen on the subject
MIN_SCORE = 0.5
MERGE_IOU = 0.3  # boxes that overlap more are one face (MediaPipe's setting)

# A larger frame is also searched in tiles, so that the smallest face that can be found
# is the same number of pixels in a 4K frame and in a webcam picture.
TILE_PX = 640
TILE_OVERLAP = 0.25
MAX_TILES_ALONG = 4


class Detector(StrEnum):
    """Who found the face."""

    TRACK = "track"  # the region of the previous frame
    SHORT = "short"  # 128 px graph on the whole image
    BACK = "back"  # 256 px graph on the whole image
    TILES = "tiles"  # 256 px graph on overlapping tiles


@dataclass(frozen=True, eq=False)
class Detection:
    """One face box in pixels of the image.

    Attributes
    ----------
    center, size : array, shape (2,)
        x and y; width and height.
    eyes : array, shape (2, 2)
        Right and left eye of the subject.
    """

    center: NDArray[np.float64]
    size: NDArray[np.float64]
    eyes: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return float(self.size.prod())

    def moved(self, offset: NDArray[np.float64]) -> Detection:
        """Shift from the pixels of a tile to those of the image."""
        return Detection(self.center + offset, self.size, self.eyes + offset, self.score)


def make_anchors() -> NDArray[np.float32]:
    """Centres of the anchors in [0, 1], shape (896, 2), in the order of the graphs' outputs."""
    grids = []
    for cells, per_cell in ANCHOR_GRIDS:
        line = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        y, x = np.meshgrid(line, line, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
    return np.concatenate(grids)


def overlap(
    center: NDArray[np.float64], size: NDArray[np.float64], boxes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union of one box with others.

    Parameters
    ----------
    center, size : array, shape (2,)
    boxes : array, shape (n, 4)
        Centre x, centre y, width, height.

    Returns
    -------
    array, shape (n,)
    """
    low = np.maximum(center - size / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = np.minimum(center + size / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = size.prod() + boxes[:, 2:].prod(axis=1) - shared
    return np.asarray(shared / np.maximum(union, 1e-12))


def merge(
    candidates: NDArray[np.float64], scores: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Weighted non-maximum suppression: average the candidates of one face by their scores.

    Parameters
    ----------
    candidates : array, shape (n, 4 + k)
        Centre x, centre y, width, height, then anything that is averaged alike.
    scores : array, shape (n,)

    Yields
    ------
    candidate : array, shape (4 + k,)
    score : float
        Of the best member.
    """
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best = candidates[left[0]]
        same = overlap(best[:2], best[2:4], candidates[left][:, :4]) > MERGE_IOU
        same[0] = True  # also where the box is degenerate, so that the loop ends
        members = left[same]
        yield np.average(candidates[members], axis=0, weights=scores[members]), float(scores[left[0]])
        left = left[~same]


class BlazeFace:
    """One detector graph on one picture; the input side is read from the graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._side = graph.input_shape[1]
        self._anchors = make_anchors()

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an RGB image, largest first.

        Parameters
        ----------
        image : array of uint8, shape (h, w, 3)
        """
        pixels, scale, shift = _letterbox(image, self._side)
        boxes, logits = self._graph.run(
            pixels.astype(np.float32) / 127.5 - 1.0, "regressors", "classificators"
        )
        scores = sigmoid(logits[0, :, 0])
        kept = np.flatnonzero(scores > MIN_SCORE)
        found = []
        for box, score in merge(self._decode(boxes[0, kept], kept), scores[kept]):
            points = (box[:2], box[4:6], box[6:8])
            center, right, left = ((p * self._side - shift) / scale for p in points)
            size = box[2:4] * self._side / scale
            found.append(Detection(center, size, np.stack([right, left]), score))
        return sorted(found, key=lambda d: -d.area)

    def _decode(self, raw: NDArray[np.float32], kept: NDArray[np.intp]) -> NDArray[np.float64]:
        """Turn offsets from the anchors into coordinates in [0, 1], shape (n, 4 + 2 * KEYPOINTS)."""
        decoded = raw.astype(np.float64) / self._side
        anchors = self._anchors[kept]
        decoded[:, :2] += anchors
        decoded[:, 4:] += np.tile(anchors, KEYPOINTS)
        return decoded


class FaceFinder:
    """The cascade of detectors; a stage runs only when its result is asked for."""

    def __init__(self, archive: TaskArchive, *, threads: int = 1) -> None:
        self._short = BlazeFace(Graph(archive.read("face_detector.tflite"), threads=threads))
        self._back = BlazeFace(Graph(asset_path(BACK_DETECTOR).read_bytes(), threads=threads))

    def stages(self, image: NDArray[np.uint8]) -> Iterator[tuple[Detector, list[Detection]]]:
        """Yield what each stage finds, cheapest first; the caller stops when content."""
        yield Detector.SHORT, self._short.find(image)
        yield Detector.BACK, self._back.find(image)
        if max(image.shape[:2]) > TILE_PX:
            yield Detector.TILES, self._in_tiles(image)

    def _in_tiles(self, image: NDArray[np.uint8]) -> list[Detection]:
        found = []
        for top, left, side in tile_corners(*image.shape[:2]):
            tile = image[top : top + side, left : left + side]
            found += [d.moved(np.array([left, top], dtype=np.float64)) for d in self._back.find(tile)]
        if not found:
            return []
        rows = np.array([[*d.center, *d.size, *d.eyes.ravel()] for d in found])
        merged = merge(rows, np.array([d.score for d in found]))
        faces = [Detection(r[:2], r[2:4], r[4:].reshape(2, 2), score) for r, score in merged]
        return sorted(faces, key=lambda d: -d.area)


def tile_corners(height: int, width: int) -> Iterator[tuple[int, int, int]]:
    """Yield (top, left, side) of overlapping square tiles that cover an image.

    >>> list(tile_corners(480, 640))
    [(0, 0, 640)]
    >>> len(list(tile_corners(1080, 1920)))
    8
    """
    side = max(TILE_PX, int(np.ceil(max(height, width) / (1 + (MAX_TILES_ALONG - 1) * (1 - TILE_OVERLAP)))))

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        count = int(np.ceil((length - side) / (side * (1 - TILE_OVERLAP)))) + 1
        return [int(s) for s in np.linspace(0, length - side, count).round()]

    for top in starts(height):
        for left in starts(width):
            yield top, left, side


def _letterbox(
    image: NDArray[np.uint8], side: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """Fit an image into a black square.

    Returns
    -------
    square : array of uint8, shape (side, side, 3)
    scale, shift : array, shape (2,)
        A point p of the image lies at p * scale + shift in the square.
    """
    size = np.array([image.shape[1], image.shape[0]])
    fitted = np.maximum(1, np.rint(size * (side / size.max()))).astype(int)
    shift = (side - fitted) // 2
    # Averaging keeps small faces from aliasing away.
    resized = averaged if side < size.max() else interpolated
    square = np.zeros((side, side, 3), dtype=np.uint8)
    left, top = shift
    square[top : top + fitted[1], left : left + fitted[0]] = resized(image, (fitted[0], fitted[1]))
    return square, fitted / size, shift.astype(np.float64)
