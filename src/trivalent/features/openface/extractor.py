"""The extractor `openface`: our engine, the user's own program, or a CSV that it wrote."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trivalent.core.errors import UsageError
from trivalent.core.messages import Message
from trivalent.core.options import FACE_RATES_HZ
from trivalent.core.types import FeatureTable, Status
from trivalent.features.extractor import Inputs, Material, Need, choose_columns
from trivalent.features.openface.columns import COLUMNS, INTENSITIES, NAME, OUR_COLUMNS, PRESENCES, VERSION
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.openface.models import ENVIRONMENT, OpenFaceModels, find_models, read_models
from trivalent.features.openface.program import TIMEOUT_S, run_openface
from trivalent.features.openface.status import ColumnStatus, Engine, column_states

if TYPE_CHECKING:
    from trivalent.features.face.observation import FaceReader

_UNSCALED = 1 << 16  # pixels of a side that no picture has: OpenFace looks at pictures as they are


@dataclass(frozen=True)
class OpenFaceOptions:
    """Options of `OpenFace`; `face_rate_hz` of 60 looks at every frame of nearly all videos."""

    openface_models: str | None = field(
        default=None,
        metadata={
            "help": f"your copy of OpenFace 2.2, or its folder AU_predictors (else ${ENVIRONMENT})",
            "metavar": "DIR",
        },
    )
    rule: Literal["offline", "online"] = field(
        default="offline",
        metadata={"help": "levels of a person from the whole recording, or from the frames before"},
    )
    engine: Literal["trivalent", "program"] = field(
        default="trivalent", metadata={"help": "who computes: we, or your own FeatureExtraction"}
    )
    face_rate_hz: float = field(default=FACE_RATES_HZ.high, metadata={"help": "frames per second"})
    timeout_s: float = field(
        default=TIMEOUT_S, metadata={"help": "seconds after which your program is stopped"}
    )


class OpenFace:
    """OpenFace's columns of the largest face, one row per frame, and action units of our own."""

    name = NAME
    version = VERSION
    columns = OUR_COLUMNS
    needs = frozenset({Need.PICTURES})
    graphs: Mapping[Inputs, tuple[str, ...]] = {Inputs.POOLED: OUR_COLUMNS[len(COLUMNS[:3]) :]}
    options = OpenFaceOptions

    def __init__(self) -> None:
        self._loaded = threading.local()  # graphs, which hold their inputs: a thread's own

    def extract(
        self,
        material: Material,
        options: OpenFaceOptions | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> FeatureTable:
        """Measure a video, or read a CSV; `meta` tells the engine, and the state of each column.

        Without the user's model files the columns of the shape and OpenFace's action units are NaN,
        as `meta["states"]` says; a table of nothing else has status `failed` with that reason.
        """
        options = options or OpenFaceOptions()
        if not options.timeout_s > 0:
            raise UsageError("extract.time_limit", timeout_s=options.timeout_s)
        FACE_RATES_HZ.check(options.face_rate_hz, named="a face rate in Hz")
        chosen = None if columns is None else choose_columns(columns, OUR_COLUMNS)
        if material.path.suffix.lower() == ".csv":
            engine, table = Engine.PROGRAM, read_openface(material.path, chosen)
        elif options.engine == "program":
            engine = Engine.PROGRAM
            table = run_openface(material.video(), columns=chosen, timeout_s=options.timeout_s)
        else:
            folder = find_models(options.openface_models)
            engine = Engine.LANDMARKS if folder is None else Engine.MODELS
            table = self._measured(material, chosen or OUR_COLUMNS, folder, options)
        table.meta.update(engine=str(engine), states=_states(engine, table.columns))
        return table

    def _measured(
        self, material: Material, columns: Sequence[str], folder: Path | None, options: OpenFaceOptions
    ) -> FeatureTable:
        models = None if folder is None else _models(folder)
        if models is None and set(columns) <= {*INTENSITIES, *PRESENCES}:
            reason = Message("openface.no_models", environment=ENVIRONMENT)
            return FeatureTable.absent(NAME, VERSION, columns=columns, reason=reason, status=Status.FAILED)
        from trivalent.features.openface.measure import measure
        from trivalent.features.openface.units import Rule

        pictures = material.pictures(rate_hz=options.face_rate_hz, max_side=_UNSCALED)
        with closing(pictures):  # the file too, should an error stop us between two frames
            table = measure(
                pictures,
                columns,
                reader=self._reader(material.threads),
                models=models,
                rule=Rule(options.rule),
                on_face=material.on_face,
            )
        table.meta.update(rate_hz=options.face_rate_hz, rule=options.rule)
        if models is not None:
            table.meta["models_sha256"] = models.sha256
        return table

    def _reader(self, threads: int) -> FaceReader:
        from trivalent.features.face.observation import FaceReader

        if getattr(self._loaded, "threads", None) != threads:
            self._loaded.reader, self._loaded.threads = FaceReader(threads=threads), threads
        reader: FaceReader = self._loaded.reader
        return reader


@lru_cache(1)
def _models(folder: Path) -> OpenFaceModels:
    return read_models(folder)


def _states(engine: Engine, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Columns by what they are worth, and why."""
    groups: dict[tuple[ColumnStatus, str | None], list[str]] = {}
    for name, state in column_states(engine).items():
        if name in columns:
            groups.setdefault((state.status, state.reason), []).append(name)
    return [
        {"status": str(status), "reason": reason, "columns": names}
        for (status, reason), names in groups.items()
    ]


OPENFACE = OpenFace()

__all__ = ["OPENFACE", "OpenFace", "OpenFaceOptions"]
