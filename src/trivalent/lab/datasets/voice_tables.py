"""Voice columns over time of short recordings, as recorded or altered, kept in a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from trivalent.core.errors import DataError
from trivalent.core.files import write_npz_atomic
from trivalent.core.types import FeatureTable
from trivalent.features.extractor import Material
from trivalent.features.registry import extractor
from trivalent.media.recording import open_recording
from trivalent.media.sound import SAMPLE_RATE, AudioTrack
from trivalent.speech.activity import find_speech

VOICE = extractor("covarep")

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


def voice_tables(
    source: str,
    recordings: Sequence[Path],
    *,
    columns: Sequence[str],
    cache: Path,
    variant: Variant = Variant.CLEAN,
    progress: Progress | None = None,
) -> list[FeatureTable]:
    """Compute the voice columns over time of recordings, or read them from the cache.

    Silence around the speech is cut off as in an analysis. The tables are stored together, so that
    other statistics of the same columns cost no extraction.

    Parameters
    ----------
    source : str
        Names the collection.
    recordings : sequence of Path
        The name of a file without its suffix tells it from the others; alterations are drawn by it.
    columns : sequence of str
        COVAREP columns; the tables have them in the field's order.
    cache : Path
        Folder for the tables.
    variant : Variant
        How the recordings are altered.
    progress : callable
        Called with the number of recordings done and their total.
    """
    # In the field's order, so that the same columns in another order are the same file.
    ordered = tuple(name for name in VOICE.columns if name in columns)
    stored = cache / f"{source}-{variant}-{_cache_key(recordings, ordered)}.npz"
    if stored.is_file():
        return _load_tables(stored, ordered)
    tables = []
    for i, path in enumerate(recordings):
        tables.append(_voice_table(path, ordered, variant))
        if progress is not None:
            progress(i + 1, len(recordings))
    _save_tables(stored, tables)
    return tables


def _voice_table(path: Path, columns: Sequence[str], variant: Variant) -> FeatureTable:
    audio = open_recording(path).audio
    samples = np.empty(0) if audio is None else trim(audio)
    rng = np.random.default_rng(np.frombuffer(f"{variant}:{path.stem}".encode(), dtype=np.uint8))
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


def _cache_key(recordings: Sequence[Path], columns: Sequence[str]) -> str:
    parts = [
        VOICE.name,
        VOICE.version,
        *columns,
        *(f"{path.name}:{path.stat().st_size}" for path in recordings),
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
