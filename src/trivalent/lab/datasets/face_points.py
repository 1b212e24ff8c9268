"""The labelled face pictures with the blendshapes and the landmarks of each face, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.assets import cache_folder
from trivalent.core.files import write_npz_atomic
from trivalent.features.face import FaceExtractor
from trivalent.features.openface.own_units import OWN_UNIT_COLUMNS, own_units
from trivalent.lab.datasets.faces import FOLDER, cache_key, read_labels, read_picture
from trivalent.lab.datasets.splits import split_by_group
from trivalent.lab.datasets.tabular import NO_LABEL, TabularData
from trivalent.lab.progress import track


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures with a face, one entry each.

    Attributes
    ----------
    blendshapes, points : array, shape (n, 52) and (n, 478, 3)
    labels : int array, shape (n,)
        `Sentiment` codes or `NO_LABEL`.
    emotions, groups, sources, files : array of str, shape (n,)
    dropped : int
        Pictures without a face.
    """

    blendshapes: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    emotions: NDArray[np.str_]
    groups: NDArray[np.str_]
    sources: NDArray[np.str_]
    files: NDArray[np.str_]
    dropped: int

    @property
    def training(self) -> NDArray[np.bool_]:
        """Whether a picture shows one of the people who train the face expert."""
        rows = np.flatnonzero(self.labels != NO_LABEL)  # the people are dealt out without the others
        test = rows[split_by_group(self.groups[rows], sources=self.sources[rows]).test]
        return ~np.isin(self.groups, self.groups[test])

    def units(self) -> TabularData:
        """Compute our own action units of every picture."""
        return TabularData(
            values=own_units(self.blendshapes, self.points).astype(np.float32),
            columns=OWN_UNIT_COLUMNS,
            labels=self.labels,
            groups=self.groups,
            sources=self.sources,
            ids=self.files,
            dropped=self.dropped,
        )


def read_pictures(root: Path) -> Pictures:
    """Look at every picture of faces under a data root, or read what was seen from the user's cache.

    Raises
    ------
    DataError
        The table or a picture is absent or unreadable.
    """
    stored = cache_folder() / "features" / f"face-points-{cache_key(root)}.npz"
    if not stored.is_file():
        _look(root, stored)
    table = read_labels(root)
    with np.load(stored, allow_pickle=False) as seen:
        chosen = table.iloc[seen["rows"]]
        return Pictures(
            seen["blendshapes"],
            seen["points"],
            chosen["label"].to_numpy(dtype=np.int64),
            np.array(chosen["emotion"], dtype=np.str_),
            np.array(chosen["source"] + "/" + chosen["identity"], dtype=np.str_),
            np.array(chosen["source"], dtype=np.str_),
            np.array(chosen["file"], dtype=np.str_),
            len(table) - len(chosen),
        )


def _look(root: Path, stored: Path) -> None:
    extractor = FaceExtractor()
    rows, blendshapes, points = [], [], []
    files = read_labels(root)["file"].tolist()
    for row, file in enumerate(track(files, "faces", total=len(files))):
        face = extractor.observe(read_picture(root / FOLDER / file))
        if face is not None:
            rows.append(row)
            blendshapes.append(face.blendshapes)
            points.append(face.points.astype(np.float32))
    stored.parent.mkdir(parents=True, exist_ok=True)
    write_npz_atomic(stored, rows=rows, blendshapes=np.array(blendshapes), points=np.array(points))
