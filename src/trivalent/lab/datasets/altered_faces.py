"""Features of the labelled face pictures and of altered copies of them, computed once."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np

from trivalent.features.face import FACE, Detector
from trivalent.features.face.landmarks import region_of_points
from trivalent.features.face.observation import FaceReader, LocatedFace
from trivalent.lab.datasets.face_alterations import Alteration, altered
from trivalent.lab.datasets.face_points import read_pictures
from trivalent.lab.datasets.faces import FOLDER, cache_key, read_picture
from trivalent.lab.datasets.tabular import NO_LABEL, TabularData
from trivalent.lab.progress import track


def extract_faces(
    root: Path, how: Alteration = Alteration.NONE, *, held_out: bool = False, cache: Path
) -> TabularData:
    """Compute the face columns of labelled pictures, or of altered copies, or read them from the cache.

    In copies, the face is looked for where it must be, as in a video; `score` of the pictures is not known.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `faces/`.
    how : Alteration
        Ids and sources of altered copies end with `#` and the alteration.
    held_out : bool
        Only of the people whom no expert is trained on.
    cache : Path
        Folder for the result; its file name carries a hash of the table of pictures and the version of the
        extractor, so that a change of either is computed anew.

    Returns
    -------
    TabularData
        One row per picture with a face; `groups` are "source/identity". Pictures without a detected face
        are left out and counted in `dropped`.

    Raises
    ------
    DataError
        The table or a picture is absent or unreadable.
    """
    stored = cache / f"faces-{cache_key(root)}-{how}{'-held-out' if held_out else ''}.npz"
    if stored.is_file():
        return TabularData.load(stored)
    pictures, reader = read_pictures(root), FaceReader()
    chosen = np.flatnonzero((pictures.labels != NO_LABEL) & ~(held_out & pictures.training))
    rows, kept = [], []
    for i in track(chosen.tolist(), how, total=len(chosen)):
        file = str(pictures.files[i])
        rng = np.random.default_rng(crc32(f"{how} {file}".encode()))
        points = pictures.points[i].astype(np.float64)
        image, points = altered(read_picture(root / FOLDER / file), points, how=how, rng=rng)
        known = LocatedFace(points, score=np.nan)
        face = known if how is Alteration.NONE else reader.locate(image, region_of_points(points))
        if face is not None:
            rows.append(reader.measure(image, face, faces=1, detector=Detector.TRACK).row())
            kept.append(i)
    mark = "" if how is Alteration.NONE else f"#{how}"
    data = TabularData(
        np.array(rows, np.float32).reshape(len(rows), len(FACE.columns)),
        FACE.columns,
        pictures.labels[kept],
        pictures.groups[kept],
        np.char.add(pictures.sources[kept], mark),
        np.char.add(pictures.files[kept], mark),
        dropped=len(chosen) - len(kept) + pictures.dropped,
    )
    data.save(stored)
    return data
