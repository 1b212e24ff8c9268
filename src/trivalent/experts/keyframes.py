"""Pictures of the moments that a face said most, for reports: at most one per utterance."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from trivalent.core.analysis import KeyFrame
from trivalent.core.types import Utterance
from trivalent.features.face import BLENDSHAPES, FaceObservation
from trivalent.features.face.pixels import averaged

MAX_KEYFRAMES = 24
_SIDE = 160  # pixels of a thumbnail
# Blinks, gaze and the movements of speech say nothing about sentiment.
_EXPRESSIVE = np.array(
    [n.startswith(("brow", "cheek", "eyeSquint", "eyeWide", "mouthSmile", "mouthFrown", "noseSneer",
                   "mouthPress", "mouthDimple", "mouthStretch")) for n in BLENDSHAPES]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Candidate:
    time_s: float
    strength: float
    picture: NDArray[np.uint8]
    expressions: dict[str, float]


class KeyFrames:
    """Keeps the strongest frame of each utterance while the face extractor runs, in order of time.

    No more pictures are held than can be chosen, however long the recording.
    """

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._starts = [u.start_s for u in utterances]
        self._ends = [u.end_s for u in utterances]
        self._best: dict[int, _Candidate] = {}

    def consider(self, time_s: float, image: NDArray[np.uint8], face: FaceObservation) -> None:
        """Take a frame into account; a callback of the extractor."""
        index = bisect_right(self._starts, time_s) - 1
        if index < 0 or time_s >= self._ends[index]:
            return
        values = np.where(_EXPRESSIVE, face.blendshapes, 0.0)
        strength = float(np.sort(values)[-4:].sum())
        if index in self._best and strength <= self._best[index].strength:
            return
        if index not in self._best and len(self._best) > MAX_KEYFRAMES:  # all of these are complete
            del self._best[min(self._best, key=lambda i: (self._best[i].strength, -i))]
        top = np.argsort(values)[::-1][:3]
        expressions = {BLENDSHAPES[i]: float(values[i]) for i in top if values[i] >= 0.1}
        self._best[index] = _Candidate(time_s, strength, _crop(image, face), expressions)

    def chosen(self) -> list[KeyFrame]:
        """Return the strongest key frames in order of time."""
        ranked = sorted(self._best.items(), key=lambda item: -item[1].strength)[:MAX_KEYFRAMES]
        return [
            KeyFrame(c.time_s, index, _jpeg(c.picture), c.expressions)
            for index, c in sorted(ranked, key=lambda item: item[1].time_s)
        ]


def _crop(image: NDArray[np.uint8], face: FaceObservation) -> NDArray[np.uint8]:
    """Cut a square around the face, with the hair and chin, scaled to a thumbnail."""
    x, y, width, height = face.box * np.tile(image.shape[1::-1], 2)
    half = max(0.85 * max(width, height), 8.0)
    rows = slice(max(0, int(y - half)), min(image.shape[0], int(y + half)))
    columns = slice(max(0, int(x - half)), min(image.shape[1], int(x + half)))
    part = image[rows, columns]
    scale = _SIDE / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return averaged(part, size)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)  # noqa: S101  (for the type checker)
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)  # that of a single picture says nothing
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
