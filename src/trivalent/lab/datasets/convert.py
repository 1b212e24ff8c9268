"""`trivalent data convert`: data sets and their files in other forms."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trivalent.core.errors import UsageError
from trivalent.core.files import write_npz_atomic, write_text_atomic
from trivalent.core.spreadsheet import guarded
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.cmu import Spans, Track, official_tracks
from trivalent.lab.datasets.csd import TimedFeatures, write_csd
from trivalent.lab.datasets.csd_table import SequenceTable
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.words import AlignedSample, align_words


def convert_sequence(source: Path, target: Path) -> str:
    """Turn a .csd file into a table (.npz), or such a table back into a .csd file.

    Raises
    ------
    UsageError
        The pair of suffixes is another one.
    DataError
        The source is damaged.
    """
    kinds = (source.suffix.lower(), target.suffix.lower())
    if kinds == (".csd", ".npz"):
        table = SequenceTable.read(source)
        table.save(target)
    elif kinds == (".npz", ".csd"):
        table = SequenceTable.load(source)
        table.write_csd(target)
    else:
        raise UsageError("csd.convert_kinds", kinds=kinds[0], kinds2=kinds[1])
    return f"{target}: {len(table.keys):,} keys, {len(table.intervals):,} rows"


def save_dataset(data: Dataset, target: Path) -> str:
    """Write samples with their features as .npz, or without them as .csv.

    Raises
    ------
    UsageError
        The suffix is neither.
    """
    if target.suffix.lower() == ".npz":
        arrays = {f"{m}_values": f.values for m, f in data.features.items()}
        arrays |= {f"{m}_columns": np.array(f.columns) for m, f in data.features.items()}
        texts = np.array(data.texts if data.texts is not None else [""] * len(data), dtype=np.str_)
        write_npz_atomic(
            target,
            ids=data.ids,
            groups=data.groups,
            split=data.split,
            labels=data.labels,
            scores=data.scores,
            seconds=data.seconds,
            texts=texts,
            synthetic=data.synthetic,
            **arrays,
        )
    elif target.suffix.lower() == ".csv":
        write_text_atomic(target, _table(data))
    else:
        raise UsageError("csd.convert_output", name=target.name)
    return f"{target}: {len(data):,} samples of {data.name}, protocol {data.protocol}"


def _table(data: Dataset) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "group", "split", "label", "score", "seconds", "text"))
    for i in range(len(data)):
        names = (guarded(str(data.ids[i])), guarded(str(data.groups[i])))
        kind = (data.split[i], Sentiment(int(data.labels[i])).label)
        numbers = (_cell(float(data.scores[i])), _cell(float(data.seconds[i])))
        writer.writerow((*names, *kind, *numbers, "" if data.texts is None else guarded(data.texts[i])))
    return out.getvalue()


def _cell(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.6g}"


def write_aligned(
    folder: Path, tracks: tuple[Track, ...], words: Path, *, spans: Spans, ids: np.ndarray, out: Path
) -> list[str]:
    """Align every track to words and write one .csd a track, keys as in `ids` (`VIDEO[i]`).

    The layout of the SDK after its own alignment, so that its users can go on with it. Each
    track is aligned in a pass of its own, so that memory holds one video.
    """
    out.mkdir(parents=True, exist_ok=True)
    told = []
    for described, path in official_tracks(folder, tracks).items():
        target = out / path.name
        samples = align_words(words, {described: path}, spans)
        write_csd(target, path.stem, sequences=_aligned(samples, described, ids))
        told.append(f"{target}: {described.modality}, {len(ids):,} samples aligned to words")
    return told


def _aligned(
    samples: Iterator[AlignedSample], described: Track, ids: np.ndarray
) -> Iterator[tuple[str, TimedFeatures]]:
    for sample in samples:
        yield str(ids[sample.row]), TimedFeatures(sample.intervals, sample.features[described.modality])
