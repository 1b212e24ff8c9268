"""RAVDESS speech: acted emotions, as pooled columns of the voice.

S. R. Livingstone and F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and
Song", PLoS ONE 13(5), 2018 (CC BY-NC-SA 4.0). Two fixed sentences: the words carry no
sentiment. The data root holds `ravdess/speech/*.flac` (or .wav).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import FeatureTable, Sentiment
from trivalent.features.extractor import Material
from trivalent.features.pooling import columns_of, pool
from trivalent.features.registry import extractor
from trivalent.lab.datasets.dataset import check_no_overlap
from trivalent.lab.datasets.splits import Split
from trivalent.lab.datasets.tabular import TabularData
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE, AudioTrack
from trivalent.speech.activity import find_speech

FOLDER = Path("ravdess") / "speech"
SOURCE = "ravdess"
VOICE = extractor("covarep")
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SENTIMENTS: dict[str, Sentiment] = {
    "neutral": Sentiment.NEUTRAL,
    "calm": Sentiment.NEUTRAL,
    "happy": Sentiment.POSITIVE,
    "sad": Sentiment.NEGATIVE,
    "angry": Sentiment.NEGATIVE,
    "fearful": Sentiment.NEGATIVE,
    "disgust": Sentiment.NEGATIVE,
}  # surprise has no valence of its own
CARD = {
    "data": "RAVDESS speech, actors 01-16 (Livingstone & Russo, PLoS ONE 2018)",
    "licence": "weights trained on CC BY-NC-SA 4.0 data: non-commercial use",
    "limits": "acted speech, two fixed sentences, North American English, studio microphone; "
    "on spontaneous speech the voice says much less, which the fusion weights reflect",
}  # of experts trained on it
TRAIN_ACTORS = tuple(range(1, 17))
TEST_ACTORS = tuple(range(17, 21))

Progress = Callable[[int, int], None]
Samples = NDArray[np.float64]


class Variant(StrEnum):
    """How a take is altered before its features are computed."""

    CLEAN = "clean"
    NOISE = "noise"  # pink to white noise, 10 to 30 dB below the speech
    CHANNEL = "channel"  # another microphone: tilted spectrum, limited band
    TELEPHONE = "telephone"  # 300 to 3400 Hz
    SLOW = "slow"  # played at 0.9 times the speed: another, larger speaker
    FAST = "fast"  # played at 1.1 times the speed: another, smaller speaker


# Resampling by up / down; played at the old rate, pitch, formants and tempo change together.
_SPEEDS = {Variant.SLOW: (10, 9), Variant.FAST: (10, 11)}


@dataclass(frozen=True)
class Take:
    """What the name of a RAVDESS file says."""

    stem: str
    modality: int
    channel: int
    emotion: str
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def label(self) -> Sentiment | None:
        """Sentiment of the emotion; None for surprise."""
        return SENTIMENTS.get(self.emotion)


def parse_take(name: str) -> Take:
    """Read modality-channel-emotion-intensity-statement-repetition-actor.

    Raises
    ------
    DataError
        The name is not of that form.

    Examples
    --------
    >>> take = parse_take("03-01-05-02-01-02-18.flac")
    >>> take.emotion, take.actor, take.label
    ('angry', 18, <Sentiment.NEGATIVE: 0>)
    """
    stem = name.rsplit(".", 1)[0]
    fields = stem.split("-")
    if len(fields) != 7 or not all(len(f) == 2 and f.isascii() and f.isdigit() for f in fields):
        raise DataError("ravdess.name", name=name)
    modality, channel, emotion, *rest = map(int, fields)
    if not 1 <= emotion <= len(EMOTIONS):
        raise DataError("ravdess.emotion", name=name, emotion=emotion)
    return Take(stem, modality, channel, EMOTIONS[emotion - 1], *rest)


def list_takes(root: Path) -> list[tuple[Take, Path]]:
    """Find the takes that have a sentiment, by name.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `ravdess/`.

    Raises
    ------
    DataError
        There is no recording there.
    """
    files = sorted(p for p in (root / FOLDER).rglob("*") if p.suffix.lower() in {".flac", ".wav"})
    if not files:
        raise DataError("ravdess.absent", folder=FOLDER, root=root)
    takes = [(parse_take(path.name), path) for path in files]
    return [(take, path) for take, path in takes if take.label is not None]


def official_split(data: TabularData, *, validation: Sequence[int] = (13, 14, 15, 16)) -> Split:
    """Split by actor: test on 17 to 20, validate on some of the others, train on the rest.

    Raises
    ------
    DataError
        A validation actor is not one of the training actors.
    """
    strange = sorted(set(validation) - set(TRAIN_ACTORS))
    if strange:
        raise DataError("ravdess.actors", strange=strange[0])
    actors = np.array([int(group.rsplit("/", 1)[-1]) for group in data.groups.tolist()])
    held = np.isin(actors, list(validation))
    train = np.isin(actors, TRAIN_ACTORS) & ~held
    split = Split(np.flatnonzero(train), np.flatnonzero(held), np.flatnonzero(np.isin(actors, TEST_ACTORS)))
    check_no_overlap(data.groups, split.names(len(data)), SOURCE)
    return split


def actor_folds(count: int = 4) -> list[tuple[int, ...]]:
    """Cut the training actors into folds for cross-validation, each with as many women as men.

    >>> actor_folds(4)[0]
    (1, 2, 9, 10)
    """
    pairs = [TRAIN_ACTORS[i : i + 2] for i in range(0, len(TRAIN_ACTORS), 2)]  # odd: man, even: woman
    return [tuple(actor for pair in pairs[start::count] for actor in pair) for start in range(count)]


def extract_ravdess(
    root: Path,
    *,
    names: Sequence[str],
    cache: Path,
    variants: Sequence[Variant | str] = (Variant.CLEAN,),
    progress: Progress | None = None,
) -> TabularData:
    """Pool the voice columns of every take with a sentiment.

    Silence around the speech is cut off as in an analysis. The tables over time are cached,
    so that other statistics of the same columns cost no extraction.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `ravdess/`.
    names : sequence of str
        Pooled names, see `trivalent.features.pooling`.
    cache : Path
        Folder for the tables.
    variants : sequence of Variant
        Alterations; the takes follow each other variant by variant.
    progress : callable
        Called with the number of takes done and their total, for each variant.

    Returns
    -------
    TabularData
        `groups` are "ravdess/ACTOR"; `ids` are the file's stem, and "#VARIANT" unless clean.
        Takes without any features are counted in `dropped`.

    Raises
    ------
    DataError
        The recordings are absent.
    FeatureError
        A pooled name is unknown.
    """
    takes, columns = [take for take, _ in list_takes(root)], columns_of(names)
    rows: list[NDArray[np.float64]] = []
    ids: list[str] = []
    pooled_takes: list[Take] = []
    for variant in map(Variant, variants):
        for take, table in voice_tables(
            root, columns=columns, variant=variant, cache=cache, progress=progress
        ):
            if len(table):
                rows.append(pool(table, names))
                ids.append(take.stem if variant is Variant.CLEAN else f"{take.stem}#{variant}")
                pooled_takes.append(take)
    return TabularData(
        values=np.array(rows, dtype=np.float32).reshape(len(rows), len(names)),
        columns=tuple(names),
        labels=np.array([take.label for take in pooled_takes], dtype=np.int64),
        groups=np.array([f"{SOURCE}/{take.actor:02d}" for take in pooled_takes], dtype=np.str_),
        sources=np.full(len(pooled_takes), SOURCE),
        ids=np.array(ids, dtype=np.str_),
        dropped=len(takes) * len(variants) - len(pooled_takes),
    )


def voice_tables(
    root: Path,
    *,
    columns: Sequence[str],
    cache: Path,
    variant: Variant = Variant.CLEAN,
    progress: Progress | None = None,
) -> list[tuple[Take, FeatureTable]]:
    """Compute the voice columns over time of every take with a sentiment, or read them from the cache.

    Parameters
    ----------
    root, cache, progress
        As for `extract_ravdess`.
    columns : sequence of str
        COVAREP columns; the tables have them in the field's order.
    variant : Variant
        How the takes are altered.

    Raises
    ------
    DataError
        The recordings are absent.
    """
    takes = list_takes(root)
    # In the field's order, so that the same columns in another order are the same file.
    ordered = tuple(name for name in VOICE.columns if name in columns)
    stored = cache / f"{SOURCE}-{variant}-{_cache_key(takes, ordered)}.npz"
    if stored.is_file():
        tables = _load_tables(stored, ordered)
    else:
        tables = []
        for i, (take, path) in enumerate(takes):
            tables.append(_voice_table(path, ordered, variant=variant, seed=take.stem))
            if progress is not None:
                progress(i + 1, len(takes))
        _save_tables(stored, tables)
    return [(take, table) for (take, _), table in zip(takes, tables, strict=True)]


def _voice_table(path: Path, columns: Sequence[str], *, variant: Variant, seed: str) -> FeatureTable:
    audio = open_recording(path).audio
    samples = np.empty(0) if audio is None else trim(audio)
    rng = np.random.default_rng(np.frombuffer(f"{variant}:{seed}".encode(), dtype=np.uint8))
    altered = alter(samples, variant, rng)
    return VOICE.extract(Material(sound=lambda: altered), columns=columns)


def trim(audio: AudioTrack) -> Samples:
    """Cut off what precedes and follows the speech; all of it if no speech is found."""
    spans = find_speech(audio)
    stretch = audio.read(spans[0][0], spans[-1][1]) if spans else audio.read()
    return stretch.astype(np.float64)


def alter(samples: Samples, variant: Variant, rng: np.random.Generator) -> Samples:
    """Apply a variant to speech at 16 kHz, shape (n,)."""
    if variant is Variant.CLEAN or not samples.size:
        return samples
    if variant is Variant.NOISE:
        return _with_noise(samples, snr_db=rng.uniform(10, 30), colour=rng.uniform(0, 1), rng=rng)
    if variant in _SPEEDS:
        up, down = _SPEEDS[variant]
        return np.asarray(resample_poly(samples, up, down), dtype=np.float64)
    if variant is Variant.TELEPHONE:
        return _band(samples, 300, 3400, order=4)
    tilted = _tilt(samples, db_per_octave=rng.uniform(-4, 4))
    return _band(tilted, rng.uniform(30, 200), rng.uniform(3500, 7500), order=2)


def _with_noise(samples: Samples, *, snr_db: float, colour: float, rng: np.random.Generator) -> Samples:
    """Add noise whose power falls as 1 / f**colour (0 white, 1 pink)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples.size))
    spectrum[1:] *= np.arange(1, spectrum.size) ** (-colour / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples.size)
    power = np.mean(noise**2)
    scale = np.sqrt(np.mean(samples**2) / power / 10 ** (snr_db / 10)) if power > 0 else 0.0
    return samples + scale * noise


def _tilt(samples: Samples, *, db_per_octave: float) -> Samples:
    frequency = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
    gain = 10 ** (db_per_octave * np.log2(np.maximum(frequency, 50) / 1000) / 20)
    return np.fft.irfft(np.fft.rfft(samples) * gain, samples.size)


def _band(samples: Samples, low_hz: float, high_hz: float, *, order: int) -> Samples:
    filtered = sosfilt(butter(order, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos"), samples)
    return np.asarray(filtered, dtype=np.float64)


def _cache_key(takes: Sequence[tuple[Take, Path]], columns: Sequence[str]) -> str:
    parts = [
        VOICE.name,
        VOICE.version,
        *columns,
        *(f"{path.name}:{path.stat().st_size}" for _, path in takes),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _save_tables(path: Path, tables: Sequence[FeatureTable]) -> None:
    """Write the tables end to end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz_atomic(
        path,
        values=np.concatenate([table.values for table in tables]).astype(np.float32),
        times=np.concatenate([table.times for table in tables]),
        rows=[len(table) for table in tables],
    )


def _load_tables(path: Path, columns: tuple[str, ...]) -> list[FeatureTable]:
    try:
        with np.load(path, allow_pickle=False) as data:
            values, times = data["values"], data["times"]
            cuts = np.cumsum(data["rows"])[:-1]
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DataError("ravdess.table", name=path.name, error=error) from error
    pairs = zip(np.split(times, cuts), np.split(values, cuts), strict=True)
    return [FeatureTable(VOICE.name, VOICE.version, columns, t, v) for t, v in pairs]
