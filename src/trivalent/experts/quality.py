"""How good the sound and the pictures are where an expert looks, and when not to rely on it.

What is measured here is kept in `Evidence.quality`:

- `snr_db`: power of the voice over that of the noise around it, in dB;
- `face_pixels`: longer side of the box around the landmarks, in pixels of the frame that was looked at;
- `face_brightness`: mean grey level of the face, 0 (black) to 1 (white);
- `face_sharpness`: finest detail of the face, relative to its size, over its whole contrast.

None of it changes an opinion; below the limits of a channel the analysis warns.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import FloatArray
from trivalent.media.sound import SAMPLE_RATE, AudioTrack

if TYPE_CHECKING:
    from trivalent.features.face import FaceObservation

Span = tuple[float, float]

BLOCK_S = 0.02
CONTEXT_S = 5.0  # how far from an utterance its noise is looked for
MARGIN_S = 0.1  # at the ends of an utterance, where a weak consonant may have been cut off
MIN_PAUSES_S = 0.3  # less tells no level
QUIET_SHARE = 0.05  # of the blocks: taken for pauses where none is known
SILENT = 1e-12  # power of a block in which one sample in 320 is off by one step of 16 bits, about
SNR_RANGE_DB = (-10.0, 60.0)
FACE_SIDE = 96  # pixels that a face is scaled to before its sharpness is measured


def speech_to_noise(
    audio: AudioTrack, utterances: Sequence[Span], index: int, *, voiced: Sequence[Span] = ()
) -> float | None:
    """Estimate the ratio of an utterance's voice to the noise around it.

    The noise is the median power of the pauses within 5 s: what lies in no utterance, and outside the
    stretches of `voiced` unless these leave no pause, as they do where others talk throughout. Without
    any pause it is the power that the quietest twentieth of the blocks stays under, which is a little
    speech as well: the ratio of clean speech then comes out as some 15 dB, that of babble as too high.

    Parameters
    ----------
    audio : AudioTrack
    utterances : sequence of (float, float)
        Start and end of all of the recording, in seconds, in order.
    index : int
        Of the one to be judged, a position in `utterances`.
    voiced : sequence of (float, float)
        Where the voice activity detector hears speech, likewise.

    Returns
    -------
    float or None
        dB, within `SNR_RANGE_DB`; None where there is only digital silence.
    """
    start_s, end_s = utterances[index]
    low_s, high_s = max(0.0, start_s - CONTEXT_S), end_s + CONTEXT_S
    power = _powers(audio.read(low_s, high_s))
    times = low_s + (np.arange(len(power)) + 0.5) * BLOCK_S
    heard = power > SILENT  # digital silence was put in later: it tells nothing about the noise
    inside = heard & (times >= start_s) & (times < end_s)
    if not inside.any():
        return None
    wordless = heard & _outside(times, utterances)
    for pause in (wordless & _outside(times, voiced), wordless):
        if pause.sum() * BLOCK_S >= MIN_PAUSES_S:
            noise = float(np.median(power[pause]))
            break
    else:
        noise = float(np.quantile(power[heard], QUIET_SHARE))
    voice = max(float(power[inside].mean()) - noise, 1e-9 * noise)
    return round(float(np.clip(10 * np.log10(voice / noise), *SNR_RANGE_DB)), 1)


def _outside(times: FloatArray, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Tell which times lie in none of some spans and not near their ends; the spans are in order."""
    if not spans or not len(times):
        return np.ones(len(times), bool)
    first = bisect_right(spans, times[0] - MARGIN_S, key=lambda span: span[1])
    last = bisect_left(spans, times[-1] + MARGIN_S, key=lambda span: span[0])
    out = np.ones(len(times), bool)
    for start_s, end_s in spans[first:last]:
        out &= (times < start_s - MARGIN_S) | (times >= end_s + MARGIN_S)
    return out


def _powers(samples: FloatArray) -> FloatArray:
    """Mean power of each block of 20 ms, shape (blocks,)."""
    size = round(BLOCK_S * SAMPLE_RATE)
    blocks = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    return blocks.var(axis=1)  # not the mean square: a constant offset is no noise


class FaceMeasures:
    """Size, light and sharpness of the face in each frame, while the face extractor runs."""

    def __init__(self) -> None:
        self._frames: dict[float, tuple[float, float, float]] = {}

    def consider(self, time_s: float, image: NDArray[np.uint8], face: FaceObservation) -> None:
        """Measure the face of a frame; a callback of the extractor."""
        self._frames[time_s] = measure_face(image, face.box)

    def facts(self, times_s: FloatArray) -> dict[str, float]:
        """Return medians over the frames at these times; nothing if none was measured."""
        found = [self._frames[t] for t in times_s.tolist() if t in self._frames]
        if not found:
            return {}
        pixels, brightness, sharpness = np.median(found, axis=0).tolist()
        return {
            "face_pixels": round(pixels, 1),
            "face_brightness": round(brightness, 3),
            "face_sharpness": round(sharpness, 4),
        }


def measure_face(image: NDArray[np.uint8], box: FloatArray) -> tuple[float, float, float]:
    """Measure the square around a face.

    Parameters
    ----------
    image : array of uint8, shape (h, w, 3)
        RGB.
    box : array, shape (4,)
        Centre x, centre y, width and height as fractions of the image.

    Returns
    -------
    pixels : float
        Longer side of the box.
    brightness : float
        Mean grey level, 0 to 1.
    sharpness : float
        Standard deviation of what a Gaussian of 1/96 of the side smooths away, over that of all:
        about .1 in a sharp picture of any size.
    """
    from scipy.ndimage import gaussian_filter  # not at the top: a text needs no pictures

    from trivalent.features.face.pixels import averaged, grey

    height, width = image.shape[:2]
    x, y, box_width, box_height = box * np.array([width, height, width, height])
    pixels = float(max(box_width, box_height))
    half = max(pixels / 2, 1.0)
    rows = slice(max(0, round(y - half)), max(1, round(y + half)))
    columns = slice(max(0, round(x - half)), max(1, round(x + half)))
    square = grey(averaged(image[rows, columns], (FACE_SIDE, FACE_SIDE))).astype(np.float64)
    detail = square - gaussian_filter(square, 1.0, mode="mirror")
    # A face of less than one grey level of contrast shows nothing, and certainly nothing sharp.
    return pixels, float(square.mean()) / 255, float(detail.std() / max(square.std(), 1.0))
