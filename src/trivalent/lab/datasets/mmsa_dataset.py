"""MMSA pickles as data sets: one row of averages, or a sequence, for each sample.

Features are text, audio and vision at the valid steps (see `mmsa`), or the means over these. Which
extractor made them a pickle does not say; the number of columns is a hint (text 768: BERT;
audio 74: COVAREP, 33: librosa; vision 35: Facet, 709: OpenFace 2). W. Yu et al., ACL 2020; H. Mao
et al., "M-SENA: An Integrated Platform for Multimodal Sentiment Analysis", ACL 2022.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import LabelMap, Modality, map_scores
from trivalent.lab.datasets import ch_sims, mosei
from trivalent.lab.datasets.dataset import Dataset, Features
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.mmsa import (
    CHUNK,
    MODALITIES,
    MMSAPart,
    load_mmsa,
    mmsa_sequences,
    valid_steps,
)
from trivalent.lab.datasets.protocols import STEPS, Protocol, with_steps

FOLDER = "mmsa"
STORED, BY_VIDEO = "stored", "by-video"
_ID = re.compile(r"(.+)(?:\$_\$[^$]+|\[\d+\])")


def mmsa_dataset(
    path: Path,
    *,
    name: str,
    scale: float | None = None,
    protocol: str = STORED,
    by_video: bool = False,
    video: Callable[[str], str] | None = None,
    features: bool = True,
    sequences: bool = False,
) -> Dataset:
    """Read an MMSA pickle as a data set.

    Parameters
    ----------
    path : Path
    name, protocol : str
        What the data set is called.
    scale : float, optional
        From the annotated scores to [-3, 3]: 1 for MOSI and MOSEI, 3 for SIMS. By default 3 if
        no score of the file lies beyond [-1, 1], else 1.
    by_video : bool
        Split anew by a hash of the video instead of taking the splits of the file.
    video : callable, optional
        From an id to its video; by default what stands before `$_$`.
    features : bool
        Without, there are none.
    sequences : bool
        The steps instead of their means.

    Raises
    ------
    DataError
        See `load_mmsa`; or an id names no video, a score is out of range, modalities differ
        between splits, or the splits of the file share videos.
    """
    parts = load_mmsa(path)
    scores = np.concatenate([part.scores for part in parts.values()])
    ids = np.array([i for part in parts.values() for i in part.ids])
    stored = np.repeat(list(parts), [len(part) for part in parts.values()])
    texts = tuple(text for part in parts.values() for text in part.texts)
    groups = np.array([(video or _video_of)(i) for i in ids.tolist()])
    if scale is None:
        scale = 1.0 if (np.abs(scores[np.isfinite(scores)]) > 1).any() else ch_sims.SCALE
    kept = ~np.isnan(scores)
    _check_range(path, scores[kept], ids=ids[kept], scale=scale)
    if not by_video:
        _check_videos(path, groups[kept], stored[kept])
    blocks, dropped = _features(path, parts, sequences) if features else ({}, {})
    if not kept.all():
        dropped["samples without a score"] = int((~kept).sum())
    stretched = np.round(scores[kept] * scale, 6)
    return Dataset(
        name=name,
        protocol=protocol,
        ids=ids[kept],
        groups=groups[kept],
        split=ch_sims.split_by_video(groups[kept].tolist()) if by_video else stored[kept],
        labels=map_scores(stretched, LabelMap.SIGN),
        scores=stretched,
        seconds=np.full(int(kept.sum()), np.nan),
        features={m: Features(f.extractor, f.columns, f.values[kept]) for m, f in blocks.items()},
        texts=tuple(text for text, keep in zip(texts, kept.tolist(), strict=True) if keep),
        dropped=dropped,
    )


def _video_of(sample: str) -> str:
    found = _ID.fullmatch(sample)
    if found is None:
        raise DataError("mmsa.id", sample=sample)
    return found[1]


def _sims_video_of(sample: str) -> str:
    return ch_sims.video_of(sample.replace("$_$", "_"))


def _check_range(path: Path, scores: NDArray[np.float64], *, ids: NDArray[np.str_], scale: float) -> None:
    wrong = np.abs(scores * scale) > 3 + 1e-6
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise DataError(
            "mmsa.scores",
            value=-3 / scale,
            scale=3 / scale,
            name=path.name,
            scores=scores[i],
            ids=ids[i],
            wrong=int(wrong.sum()),
        )


def _check_videos(path: Path, groups: NDArray[np.str_], split: NDArray[np.str_]) -> None:
    pairs = np.unique(np.stack([groups, split]), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    if (counts > 1).any():
        raise DataError(
            "mmsa.videos_shared",
            name=path.name,
            value=int((counts > 1).sum()),
            count=len(names),
            names=names[counts > 1][0],
            by_video=BY_VIDEO,
        )


def _features(
    path: Path, parts: Mapping[str, MMSAPart], sequences: bool
) -> tuple[dict[Modality, Features], dict[str, int]]:
    blocks, dropped = {}, {}
    for name, modality in MODALITIES.items():
        widths = {
            split: part.features[name].shape[2] for split, part in parts.items() if name in part.features
        }
        if not widths:
            continue
        if len(widths) < len(parts) or len(set(widths.values())) > 1:
            raise DataError("mmsa.widths", name=name, given=path.name, widths=widths)
        columns = tuple(f"{name}_{i}" for i in range(next(iter(widths.values()))))
        if sequences:
            each = [mmsa_sequences(part, name) for part in parts.values()]
            blocks[modality] = Features(f"mmsa-{name}", columns, _joined(each))
            continue
        means, holes = zip(*(_means(part, name) for part in parts.values()), strict=True)
        blocks[modality] = Features(f"mmsa-{name}", columns, np.concatenate(means))
        if any(holes):
            dropped[f"{name}: values that are not finite, left out of the means"] = sum(holes)
    return blocks, dropped


def _joined(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Concatenate sequences (n, steps, columns) of splits, the shorter ones with steps of NaN behind."""
    longest = max(values.shape[1] for values in parts)
    padded = [np.pad(x, ((0, 0), (0, longest - x.shape[1]), (0, 0)), constant_values=np.nan) for x in parts]
    return np.concatenate(padded)


def _means(part: MMSAPart, name: str) -> tuple[NDArray[np.float32], int]:
    """Average over the valid steps, shape (n, columns); count the cells there without a value."""
    values, steps = part.features[name], valid_steps(part, name)
    out = np.full((len(part), values.shape[2]), np.nan, dtype=np.float32)
    holes = 0
    for start in range(0, len(part), CHUNK):
        rows = slice(start, start + CHUNK)
        block = values[rows].astype(np.float64)
        used = np.isfinite(block) & steps[rows, :, None]
        count = used.sum(axis=1)
        total = np.where(used, block, 0.0).sum(axis=1)
        np.divide(total, count, out=out[rows], where=count > 0, casting="same_kind")
        holes += int((steps[rows].sum(axis=1)[:, None] - count).sum())
    return out, holes


def entry_of_pickle(path: Path) -> Entry:
    """Make an entry for a pickle that lies anywhere; its name is that of the file.

    The scale is guessed, see `mmsa_dataset`, and no counts are known.
    """

    def load(root: Path, protocol: Protocol, features: bool) -> Dataset:
        del root
        return mmsa_dataset(
            path,
            name=path.name,
            protocol=protocol.name,
            by_video=protocol.name.removesuffix(STEPS) == BY_VIDEO,
            features=features,
            sequences=protocol.sequences,
        )

    rule = "one sample per clip, class by the sign of its score"
    return Entry(
        path.name,
        f"MMSA pickle {path}",
        "that of its owners",
        "https://github.com/thuiar/MMSA",
        with_steps(
            Protocol(STORED, f"{rule}; the splits of the file", LabelMap.SIGN),
            Protocol(BY_VIDEO, f"{rule}; split anew by video", LabelMap.SIGN),
        ),
        load,
    )


def _find(folder: Path, kind: str) -> Path:
    names = [f"{kind}_50.pkl", f"{kind}_39.pkl", f"{kind}.pkl"]
    for name in names:
        for path in (folder / name, folder / "Processed" / name):
            if path.is_file():
                return path
    raise DataError("mmsa.absent", names=" or ".join(names), folder=folder)


def _load(root: Path, protocol: Protocol, features: bool, *, name: str, folder: str) -> Dataset:
    sims = folder.startswith("SIMS")
    return mmsa_dataset(
        _find(root / FOLDER / folder, protocol.name.removesuffix(STEPS)),
        name=name,
        scale=ch_sims.SCALE if sims else 1.0,
        protocol=protocol.name,
        by_video=sims,
        video=_sims_video_of if sims else None,
        features=features,
        sequences=protocol.sequences,
    )


_RULE = "features over {}, averaged; one sample per clip, class by the sign of its score"
_STEPS = {"aligned": "words", "unaligned": "frames"}
_ANEW = "; split anew by video as in {}, since the official split shares videos"
_MOSI = {"train": (552, 53, 679), "val": (92, 13, 124), "test": (379, 30, 277)}
_SHA256 = {  # as copies of the README of MMSA give them; the files themselves were not at hand
    "MOSI/aligned_50.pkl": "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9",
    "MOSI/unaligned_50.pkl": "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524",
    "MOSEI/aligned_50.pkl": "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791",
    "MOSEI/unaligned_50.pkl": "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f",
    "SIMS/unaligned_39.pkl": "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f",
}


def _entry(
    name: str, folder: str, *, title: str, counts: Mapping[str, tuple[int, int, int]], like: str = ""
) -> Entry:
    kinds = ("unaligned", "aligned") if like else ("aligned", "unaligned")
    note = _ANEW.format(like) if like else ""
    held = [file for file in _SHA256 if file.startswith(f"{folder}/")]
    return Entry(
        name,
        title,
        "research use, that of the data set",
        "https://github.com/thuiar/MMSA",
        with_steps(
            *(Protocol(kind, _RULE.format(_STEPS[kind]) + note, LabelMap.SIGN, counts) for kind in kinds)
        ),
        partial(_load, name=name, folder=folder),
        files=tuple(OfficialFile(f"{FOLDER}/{file}", sha256=_SHA256[file]) for file in held),
        remedy="the README of MMSA links to its folders of feature files",
    )


ENTRIES = (
    _entry("mosi-mmsa", "MOSI", title="CMU-MOSI as MMSA pickles, 2,199 segments (English)", counts=_MOSI),
    _entry(
        "mosei-mmsa",
        "MOSEI",
        title="CMU-MOSEI as MMSA pickles, 22,856 segments (English)",
        counts=next(p for p in mosei.PROTOCOLS if p.name == "segment").counts,
    ),
    _entry(
        "sims-mmsa",
        "SIMS",
        title="CH-SIMS as MMSA pickles, 2,281 clips (Chinese)",
        counts=ch_sims.COUNTS["ch-sims"],
        like="ch-sims",
    ),
    _entry(
        "sims2-mmsa",
        "SIMSv2",
        title="CH-SIMS v2 as MMSA pickles, 4,403 clips (Chinese)",
        counts=ch_sims.COUNTS["ch-sims-v2"],
        like="ch-sims-v2",
    ),
)
