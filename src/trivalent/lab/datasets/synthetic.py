"""A synthetic CMU-MOSEI in the official layout and at full scale: for tests of capacity, never of accuracy.

Videos, segments, scores and folds are real; words and feature values are drawn at random. Every
file says so in its metadata, and benchmarks refuse it unless asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivalent.core.errors import UsageError
from trivalent.lab.datasets.cmu import SYNTHETIC
from trivalent.lab.datasets.csd import TimedFeatures, write_csd
from trivalent.lab.datasets.mosei import EMOTIONS, FOLDER, LABELS, TRACKS, WORDS, Segments
from trivalent.lab.progress import track

_WORD_S = 0.3  # mean duration of a spoken word
_VOCABULARY = np.array([f"word{i}" for i in range(5000)], dtype=np.bytes_)
_RATES = {"covarep": 100.0, "openface2": 30.0, "facet": 30.0}  # rows per second of the official files


@dataclass(frozen=True)
class Scale:
    """How large the set becomes.

    Attributes
    ----------
    videos : int, optional
        The first ones of the table; all by default.
    rate : float
        Share of the official frame rates, in (0, 1].
    facet : bool
        Write the FACET file too.
    """

    videos: int | None = None
    rate: float = 1.0
    facet: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1 or (self.videos is not None and self.videos < 1):
            raise UsageError("dataset.synthetic_videos", videos=self.videos, rate=self.rate)


def synthesize_mosei(segments: Segments, root: Path, *, scale: Scale, seed: int = 0) -> list[Path]:
    """Write the official files below `root/cmu_mosei`.

    Each video's values depend on the seed and its name alone. 0.1 % of the cells are NaN or
    -inf, and one video of a hundred lacks a face track, as in the real files.

    Parameters
    ----------
    segments : Segments
        The real table.
    root : Path
        New data root; about 28 GB at full scale.
    scale : Scale
    seed : int

    Returns
    -------
    list of Path
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    videos = list(dict.fromkeys(segments.video.tolist()))[: scale.videos]
    rows = {video: np.flatnonzero(segments.video == video) for video in videos}
    rows = {video: own[np.argsort(segments.position[own])] for video, own in rows.items()}
    length = {video: float(segments.end_s[own].max()) + 1.0 for video, own in rows.items()}
    written = [
        _write(folder / LABELS, ((v, _labels(segments, own)) for v, own in rows.items()), len(videos))
    ]
    words = ((v, _words(v, length[v], seed)) for v in videos)
    written.append(_write(folder / WORDS, words, len(videos)))
    for described in TRACKS:
        if described.extractor == "facet" and not scale.facet:
            continue
        written.append(
            _write(
                folder / described.file,
                (
                    (v, _track(v, length[v], described.extractor, described.columns, seed, scale.rate))
                    for v in videos
                    if described.extractor != "openface2" or _chance(v) >= 0.01
                ),
                len(videos),
            )
        )
    return written


def _write(path: Path, sequences: Iterator[tuple[str, TimedFeatures]], total: int) -> Path:
    metadata = {SYNTHETIC: "feature values drawn at random; segments, scores and folds of CMU-MOSEI"}
    return write_csd(path, path.stem, sequences=track(sequences, path.stem, total=total), metadata=metadata)


def _labels(segments: Segments, rows: np.ndarray) -> TimedFeatures:
    times = np.stack([segments.start_s[rows], segments.end_s[rows]], axis=1)
    features = np.full((len(rows), 1 + len(EMOTIONS)), np.nan, np.float64)  # emotions are not in the table
    features[:, 0] = segments.score[rows]
    return TimedFeatures(times, features)


def _words(video: str, length: float, seed: int) -> TimedFeatures:
    rng = _generator(video, "words", seed)
    count = max(1, int(length / _WORD_S))
    times = _grid(count, length)
    words = _VOCABULARY[(rng.zipf(1.3, count) - 1) % len(_VOCABULARY)]
    words[rng.random(count) < 0.15] = b"sp"
    return TimedFeatures(times, words[:, None])


def _track(
    video: str, length: float, extractor: str, columns: int, seed: int, rate: float
) -> TimedFeatures:
    rng = _generator(video, extractor, seed)
    per_second = _RATES[extractor] * rate if extractor in _RATES else 1 / _WORD_S
    count = max(1, int(length * per_second))
    values = rng.standard_normal((count, columns), dtype=np.float32)
    holes = rng.integers(values.size, size=values.size // 1000)
    values.ravel()[holes] = np.where(rng.random(len(holes)) < 0.5, np.nan, -np.inf)
    return TimedFeatures(_grid(count, length), values)


def _grid(count: int, length: float) -> np.ndarray:
    edges = np.linspace(0.0, length, count + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _generator(video: str, what: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *hashlib.sha256(f"{video}:{what}".encode()).digest()[:16]])


def _chance(video: str) -> float:
    """Return a number in [0, 1) that depends on the video's name alone."""
    return int(hashlib.sha256(video.encode()).hexdigest()[:8], 16) / 16**8
