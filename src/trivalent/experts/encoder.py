"""One modality of a network: tables of utterances to the features that go into it."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.encoder import GLOVE_SHA256, EncoderSpec
from trivalent.core.errors import BundleError
from trivalent.core.types import FeatureTable, FloatArray, Utterance
from trivalent.features.extractor import Extractor
from trivalent.features.levels import Level
from trivalent.features.pooling import asks_level, level_of_statistics, pool
from trivalent.features.registry import extractor
from trivalent.features.steps import Steps, steps_of

MAX_MISSING = 0.25  # share of the statistics without a value above which there are no features
GLOVE = "TRIVALENT_GLOVE"
UNTIMED = Utterance(0, 0.0, 0.0)  # of what is no part of a recording


class Encoder:
    """Makes the features of a modality, in training as in an analysis.

    Parameters
    ----------
    spec : EncoderSpec
    glove_file : Path, optional
        GloVe vectors; else those that $TRIVALENT_GLOVE names. Their sha256 must be that of the spec.

    Raises
    ------
    BundleError
        When it is used: the spec asks for vectors of a file that is not there, or another one.
    """

    def __init__(self, spec: EncoderSpec, *, glove_file: Path | None = None) -> None:
        self.spec = spec
        self._glove_file = glove_file

    @property
    def extractor(self) -> Extractor:
        """Of its tables."""
        return extractor(self.spec.extractor)

    def options(self, **more: Any) -> Any:
        """Options of the extractor."""
        return self.extractor.options(**(self._own | more))

    def level(self, table: FeatureTable) -> Level | None:
        """Measure the level of an utterance for those features that tell of it; None: there are none."""
        names = self.spec.pooling
        return level_of_statistics(table, names) if asks_level(names) else None

    def from_table(
        self, table: FeatureTable, level: Level | None = None, utterance: Utterance = UNTIMED
    ) -> tuple[FloatArray | None, int]:
        """Pool the table of one utterance, or make a sequence of it.

        Parameters
        ----------
        table : FeatureTable
        level : Level, optional
            Of the recording, where `level` of this asks for it.
        utterance : Utterance
            On the clock of the table; its times and those of its words cut sequences.

        Returns
        -------
        features : array, shape (statistics,) or (steps, statistics), or None
            NaN where there is no value; None where more than `MAX_MISSING` of the statistics have none, or
            no step has any.
        missing : int
            How many statistics have none; of a sequence, cells of steps that have others.
        """
        if self.spec.steps is not None:
            return _sequence(table, self.spec.steps, utterance)
        pooled = pool(table, self.spec.pooling, level=level)
        missing = int((~np.isfinite(pooled)).sum())
        return (None if missing > MAX_MISSING * len(pooled) else pooled), missing

    @cached_property
    def _own(self) -> dict[str, Any]:
        options = dict(self.spec.options)
        expected = options.pop(GLOVE_SHA256, None)
        if expected is None:
            return options
        named = self._glove_file or os.environ.get(GLOVE)
        path = Path(named).expanduser() if named else None
        if path is None or not path.is_file():
            raise BundleError("bundle.glove_absent", variable=GLOVE, sha256=str(expected)[:12])
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 != expected:
            raise BundleError(
                "bundle.glove_other",
                variable=GLOVE,
                sha256=str(expected)[:12],
                given=sha256[:12],
                path=path,
            )
        return {**options, "glove_file": path}


def _sequence(table: FeatureTable, steps: Steps, utterance: Utterance) -> tuple[FloatArray | None, int]:
    values = steps_of(table, steps, utterance)
    known = np.isfinite(values)
    missing = int((~known[known.any(axis=1)]).sum())
    return (values if known.any() else None), missing


__all__ = ["GLOVE", "MAX_MISSING", "Encoder"]
