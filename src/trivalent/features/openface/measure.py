"""OpenFace's columns of a recording, frame by frame: memory does not grow with the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.extractor import OnFace, TimedImage
from trivalent.features.face.extractor import validated
from trivalent.features.face.observation import FaceObservation, FaceReader
from trivalent.features.face.tracker import FaceTracker
from trivalent.features.openface.columns import FLAGGED, INTENSITIES, NAME, OUR_COLUMNS, PRESENCES, VERSION
from trivalent.features.openface.landmarks import landmarks_68
from trivalent.features.openface.models import OpenFaceModels
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS, own_units
from trivalent.features.openface.placed import PlacedFace
from trivalent.features.openface.pose import Camera
from trivalent.features.openface.row import FACE_COLUMNS, face_columns
from trivalent.features.openface.shape import FEATURES, PROJECTION, angles_of, fit_shape
from trivalent.features.openface.status import flagged
from trivalent.features.openface.units import Rule, UnitTrack, descriptor

SHORTEST = 10  # frames of a person, below which neither the median nor the level says much

_UNITS = (*INTENSITIES, *PRESENCES)
_PLACE = {name: i for i, name in enumerate(OUR_COLUMNS)}
_FACE, _OWN = (slice(_PLACE[names[0]], _PLACE[names[-1]] + 1) for names in (FACE_COLUMNS, OWN_UNIT_COLUMNS))


def measure(
    frames: Iterable[TimedImage],
    columns: Sequence[str],
    *,
    reader: FaceReader,
    models: OpenFaceModels | None,
    rule: Rule,
    on_face: OnFace | None = None,
) -> FeatureTable:
    """Measure the largest face of each frame of one recording, in the order of time.

    Parameters
    ----------
    frames : iterable of frames
        Each with `time_s` (s) and `image` (uint8, shape (h, w, 3), RGB), as large as it was taken.
    columns : sequence of str
        Of `OUR_COLUMNS`; only these are kept.
    reader : FaceReader
    models : OpenFaceModels, optional
        Without them the action units of OpenFace and the parameters of the shape are NaN.
    rule : Rule
    on_face : callable, optional
        Called with time, image and observation of every frame that shows a face.

    Returns
    -------
    FeatureTable
        One row for each frame, NaN where it shows no face (but for frame, timestamp and success).
        `face_id` counts people: a face that comes back elsewhere or after a change of the scene may be
        somebody else, and no median or level is taken over two. `meta` holds `frames`,
        `frames_without_face`, `frames_flagged`, `people` and `warnings`.

    Raises
    ------
    FeatureError
        An image is not uint8 RGB.
    """
    tracker, sheet = FaceTracker(reader), _Sheet(columns, models, rule=rule)
    ruler = _Ruler(columns, models, reader)
    for frame in frames:
        image = validated(frame.image)
        seen = tracker.step(frame.time_s, image)
        if seen is None:
            sheet.skip(frame.time_s)
            continue
        sheet.add(frame.time_s, *ruler.measure(image, seen), person=tracker.person)
        if on_face is not None:
            on_face(frame.time_s, image, seen)
    return sheet.table(faces_max=tracker.faces_max)


class _Ruler:
    """Measures one face of one picture; what no column asks for is not computed."""

    def __init__(self, columns: Sequence[str], models: OpenFaceModels | None, reader: FaceReader) -> None:
        self._models, self._canonical = models, reader.canonical
        self._describes = models is not None and not set(_UNITS).isdisjoint(columns)
        self._places = not set(FACE_COLUMNS).isdisjoint(columns)

    def measure(
        self, image: NDArray[np.uint8], seen: FaceObservation
    ) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        """Return a row of `OUR_COLUMNS` that lacks only the action units, and what they are judged by."""
        height, width = image.shape[:2]
        row = np.full(len(OUR_COLUMNS), np.nan, np.float32)
        face, described = self._placed(image, seen)
        row[_PLACE["confidence"]] = seen.score
        row[_PLACE[FLAGGED]] = flagged(seen.box[2] * width, angles_of(face.rotation)[1])
        row[_OWN] = own_units(seen.blendshapes[None], seen.points[None])[0]
        if self._places:
            row[_FACE] = face_columns(seen.points, face, Camera.of(width, height))
        return row, described

    def _placed(
        self, image: NDArray[np.uint8], seen: FaceObservation
    ) -> tuple[PlacedFace, NDArray[np.float64] | None]:
        if self._models is None:
            return PlacedFace.from_mesh(seen.points, self._canonical), None
        shape = self._models.shape
        on_model = fit_shape(shape, landmarks_68(seen.points), prior=PROJECTION)
        face = PlacedFace.from_fit(on_model)
        if not self._describes:
            return face, None
        return face, descriptor(image, fit_shape(shape, on_model.points, prior=FEATURES))


class _Sheet:
    """The rows of a recording; the action units of a person come in when the last of them is there."""

    def __init__(self, columns: Sequence[str], models: OpenFaceModels | None, *, rule: Rule) -> None:
        self._columns, self._models, self._rule = tuple(columns), models, rule
        self._take = [_PLACE[name] for name in columns]
        of_units = [(to, _UNITS.index(name)) for to, name in enumerate(columns) if name in _UNITS]
        self._to, self._from = (
            (list(side) for side in zip(*of_units, strict=True)) if of_units else ([], [])
        )
        self._times: list[float] = []
        self._rows: list[NDArray[np.float32]] = []
        self._seen: list[bool] = []
        self._flagged: list[bool] = []
        self._person, self._begin = 0, 0
        self._track = self._new_track()

    def skip(self, time_s: float) -> None:
        """Note a frame without a face; of the person, if any, who was there before."""
        self._keep(time_s, np.full(len(OUR_COLUMNS), np.nan, np.float32), None)

    def add(
        self,
        time_s: float,
        row: NDArray[np.float32],
        described: NDArray[np.float64] | None,
        *,
        person: int,
    ) -> None:
        """Note a frame with the face of a person."""
        if self._person and person != self._person:
            self._finish()
        self._person = person
        row[_PLACE["face_id"]] = person - 1
        self._keep(time_s, row, described)

    def table(self, *, faces_max: int) -> FeatureTable:
        """Finish the last person and return all rows."""
        self._finish()
        count, seen = len(self._rows), sum(self._seen)
        meta: dict[str, Any] = {
            "frames": count,
            "frames_without_face": count - seen,
            "frames_flagged": sum(self._flagged),
            "people": self._person,
            "warnings": list(self._warnings(faces_max)),
        }
        if not seen:
            reason = Message("reason.no_face_one" if count == 1 else "reason.no_face", count=count)
            return FeatureTable.absent(NAME, VERSION, columns=self._columns, reason=reason, meta=meta)
        return FeatureTable(
            NAME, VERSION, self._columns, np.array(self._times), np.stack(self._rows), meta=meta
        )

    def _keep(self, time_s: float, row: NDArray[np.float32], described: NDArray[np.float64] | None) -> None:
        seen = bool(np.isfinite(row[_PLACE["face_id"]]))
        row[_PLACE["frame"]] = len(self._rows) + 1
        row[_PLACE["timestamp"]], row[_PLACE["success"]] = time_s, seen
        self._times.append(time_s)
        self._rows.append(row[self._take])
        self._seen.append(seen)
        self._flagged.append(seen and bool(row[_PLACE[FLAGGED]] == 1))
        if self._track is not None:
            self._track.add(described)

    def _finish(self) -> None:
        """Write the action units of the person who was followed; flag somebody who was hardly there."""
        if self._track is not None:
            units = self._track.finish()
            for row, values in zip(self._rows[self._begin :], units, strict=True):
                row[self._to] = values[self._from]
            self._track = self._new_track()
        own = range(self._begin, len(self._rows))
        if sum(self._seen[i] for i in own) < SHORTEST:
            for i in own:
                self._flagged[i] = self._seen[i]
                if FLAGGED in self._columns and self._seen[i]:
                    self._rows[i][self._columns.index(FLAGGED)] = 1
        self._begin = len(self._rows)

    def _new_track(self) -> UnitTrack | None:
        if self._models is None or not self._to:
            return None
        return UnitTrack(self._models.units, rule=self._rule)

    def _warnings(self, faces_max: int) -> Iterator[Message]:
        if faces_max > 1:
            yield Message("reason.many_faces", count=faces_max)
        if self._person > 1:
            yield Message("openface.people", count=self._person)
        if 2 * sum(self._flagged) > sum(self._seen):
            yield Message("openface.flagged", count=sum(self._flagged), total=sum(self._seen))


__all__ = ["measure"]
