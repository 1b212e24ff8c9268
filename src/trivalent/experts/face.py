"""The channel of the face: movements of the largest face in the pictures of each utterance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, Modality, Status, Utterance
from trivalent.experts.channel import Begin, Channel, QualityLimit, Spoken, View
from trivalent.experts.encoder import Encoder
from trivalent.experts.quality import FaceMeasures
from trivalent.experts.readings import Reader, Reading, read_table
from trivalent.features.extractor import Material
from trivalent.features.registry import extractor

if TYPE_CHECKING:
    from trivalent.features.face import FaceObservation

FULL_FACE_FRAMES = 5


def read_face(
    reader: Reader,
    utterances: Sequence[Utterance],
    *,
    table: FeatureTable,
    measures: FaceMeasures | None = None,
) -> list[Reading]:
    """Classify the face of utterances from the frames that fall into them.

    `measures` holds what was measured beside the table in the same frames.
    """
    if table.status is not Status.OK:
        return [
            Reading.absent(table.reason or Message("reason.no_face_at_all"), status=table.status)
            for _ in utterances
        ]
    rate = float(table.meta["rate_hz"])
    table = table.with_values()
    readings = []
    for utterance in utterances:
        part, sampled = frames_within(table, utterance.start_s, utterance.end_s, rate_hz=rate)
        quality = {"frames_with_face": float(len(part)), "frames_sampled": float(max(sampled, len(part)))}
        if not len(part):
            readings.append(Reading.absent(Message("reason.no_face", count=sampled), quality=quality))
            continue
        if measures is not None:
            quality |= measures.facts(part.times)
        seen = min(1.0, len(part) / sampled) * min(1.0, len(part) / min(FULL_FACE_FRAMES, sampled))
        readings.append(read_table(reader, part, reliability=seen, quality=quality, utterance=utterance))
    return readings


def frames_within(
    table: FeatureTable, start_s: float, end_s: float, *, rate_hz: float
) -> tuple[FeatureTable, int]:
    """Take the frames of a stretch and tell how many pictures were looked at there.

    A stretch shorter than a sampling period still gets its nearest frame.
    """
    slack = max(0.0, 1.5 / rate_hz - (end_s - start_s)) / 2
    sampled = max(1, round((end_s - start_s + 2 * slack) * rate_hz))
    return table.between(start_s - slack, end_s + slack), sampled


def _read(reader: Reader, spoken: Spoken, *, options: AnalyzerOptions, begin: Begin) -> View:
    from trivalent.experts.keyframes import KeyFrames

    utterances, recording = spoken.speech.utterances, spoken.recording
    if recording.kind != "video":
        return View([Reading.absent(Message("reason.no_video")) for _ in utterances])
    keyframes, measures = KeyFrames(utterances), FaceMeasures()

    def see(time_s: float, image: NDArray[np.uint8], face: FaceObservation) -> None:
        keyframes.consider(time_s, image, face)
        measures.consider(time_s, image, face)

    wanted = extractor(reader.spec.extractor)
    material = Material(
        pictures=partial(recording.frames, progress=begin()), on_face=see, threads=options.threads
    )
    given = {"face_rate_hz": options.face_rate_hz}
    chosen = reader.options(**given) if isinstance(reader, Encoder) else wanted.options(**given)
    table = wanted.extract(material, chosen, columns=reader.spec.columns)
    readings = read_face(reader, utterances, table=table, measures=measures)
    return View(readings, warnings=table.meta.get("warnings", []), keyframes=keyframes.chosen())


# Small faces are rather not found than misread: their limit is that of the studio pictures alone, the
# other collection has none down to the 16 pixels that were tried.
FACE = Channel(
    Modality.FACE,
    stage="face",
    read=_read,
    limits=(
        QualityLimit("face_pixels", 17.0),
        QualityLimit("face_brightness", 0.058),
        QualityLimit("face_sharpness", 0.024),
    ),
)
