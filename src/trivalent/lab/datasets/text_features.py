"""Features of the texts of a data set, as an analysis makes them, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.encoder import EncoderSpec
from trivalent.core.assets import cache_folder
from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import Modality, Utterance
from trivalent.experts.encoder import Encoder
from trivalent.experts.text import read_texts
from trivalent.lab.datasets.dataset import Dataset, Features, stacked
from trivalent.lab.progress import track
from trivalent.speech.language import SURE, tongues

log = logging.getLogger(__name__)
_VERSION = 1  # raise it when what is stored changes while the extractors' versions do not
_FOREIGN = 0.5  # share of texts that do not look English, from which none is read as English


def lacks_features(data: Dataset) -> bool:
    """Tell whether a data set has texts without features of them."""
    return data.texts is not None and Modality.TEXT not in data.features


def with_text_features(data: Dataset, spec: EncoderSpec, *, glove_file: Path | None = None) -> Dataset:
    """Add the features of the texts to a data set that has none of them.

    Parameters
    ----------
    data : Dataset
        With texts; another one is returned as it is, and so is one whose texts have features.
    spec : EncoderSpec
    glove_file : Path, optional
        Vectors that it names; else those that $TRIVALENT_GLOVE names.

    Raises
    ------
    DataError
        The texts are not English, which is all that our extractors of words read.
    AssetError
        Weights or word vectors are absent or damaged.
    """
    if data.texts is None or not lacks_features(data):
        return data
    told = (tongues([text])[0] for text in data.texts)
    foreign = sum(t.code not in (None, "en") and t.probability >= SURE for t in told)
    if foreign > _FOREIGN * len(data.texts):
        raise DataError("dataset.foreign_texts", name=data.name, count=foreign, total=len(data.texts))
    values = _stored(data.texts, spec, glove_file)
    block = Features(spec.extractor, spec.statistics, values)
    return replace(data, features={**data.features, Modality.TEXT: block})


def _stored(texts: Sequence[str], spec: EncoderSpec, glove_file: Path | None) -> NDArray[np.float64]:
    path = _path(texts, spec)
    try:
        with np.load(path, allow_pickle=False) as content:
            values: NDArray[np.float64] = content["values"]
        if values.shape[:: values.ndim - 1] == (len(texts), len(spec.statistics)):
            return values
    except (OSError, ValueError, KeyError, EOFError):
        pass  # none is stored, or only a damaged one
    values = _made(texts, Encoder(spec, glove_file=glove_file))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz_atomic(path, values=values)
    return values


def _made(texts: Sequence[str], encoder: Encoder) -> NDArray[np.float64]:
    log.info("reading %d texts", len(texts))
    width = len(encoder.spec.statistics)
    absent = np.full((0, width) if encoder.spec.steps else width, np.nan)
    found: list[NDArray[np.float64]] = []
    for text in track(texts, "reading", total=len(texts)):
        (reading,) = read_texts(encoder, [Utterance(0, 0.0, 0.0, text)])
        found.append(absent if reading.features is None else np.asarray(reading.features, np.float64))
    return stacked(found, width)


def _path(texts: Sequence[str], spec: EncoderSpec) -> Path:
    digest = hashlib.sha256(json.dumps([_VERSION, spec.to_dict(), list(texts)]).encode())
    return cache_folder() / "features" / "texts" / f"{spec.extractor}-{digest.hexdigest()[:32]}.npz"


__all__ = ["lacks_features", "with_text_features"]
