"""Reference recordings of the COVAREP columns, and a synthetic vowel."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import numpy as np
import pytest

from trivalent.features.covarep.framing import FS

CLIPS = (
    "01_arctic_a0007_m",
    "02_arctic_bdl1_m",
    "03_librivox_0870_m",
    "04_twocities_m",
    "06_endgame_zeros",
    "08_allison_congrats_f",
    "10_ravdess_f02_calm",
    "12_ravdess_f18_angry",
    "15_cards005_m_digitalsilence",
)


def reference_folder() -> Path | None:
    shared = Path(__file__).resolve().parents[2] / "shared"
    data = os.environ.get("TRIVALENT_DATA")
    roots = [shared, *([Path(data).parent] if data else [])]
    return next((r / "reference/covarep" for r in roots if (r / "reference/covarep").is_dir()), None)


class Clip:
    """One reference recording with its output."""

    def __init__(self, folder: Path, name: str) -> None:
        with wave.open(str(folder / f"{name}.wav")) as stream:
            self.fs = stream.getframerate()
            self.int16 = np.frombuffer(stream.readframes(stream.getnframes()), dtype=np.int16)
        self.x = self.int16 / 32768.0
        self.expected = dict(np.load(folder / f"{name}.npz"))
        self.names = self.expected["names"].tolist()
        self.sound = ~self.expected["row_digital_silence"]

    def column(self, name: str) -> np.ndarray:
        return self.expected["features"][:, self.names.index(name)]


def voice(seconds: float = 1.0, f0: float = 125.0, fs: int = FS) -> np.ndarray:
    """A vowel: pulses through two resonances, with a little noise."""
    n = int(seconds * fs)
    rng = np.random.default_rng(0)
    # Like a speaker's, the periods vary by 2 %: equal periods tie F0 with its multiples.
    periods = (fs / f0) * (1 + 0.02 * rng.standard_normal(int(2 * seconds * f0)))
    instants = np.cumsum(periods).astype(int)
    pulses = np.zeros(n)
    pulses[instants[instants < n]] = 1.0
    t = np.arange(int(0.03 * fs)) / fs
    response = np.exp(-300 * t) * np.cos(2 * np.pi * 600 * t) + np.exp(-500 * t) * np.cos(
        2 * np.pi * 1700 * t
    )
    noise = rng.standard_normal(n) * 1e-3
    return 0.2 * np.convolve(pulses, response)[:n] + noise


def load_clip(name: str) -> Clip:
    """Load a reference recording; skips the test where there is none."""
    folder = reference_folder()
    if folder is None:
        pytest.skip("no reference recordings in ../shared/reference/covarep")
    return Clip(folder, name)
