"""What spoils a recording, at a given strength: noise, blur, darkness, distance, misheard words.

Pure functions of the clean input, a strength and a random generator; see robustness.py.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from trivalent.core.types import FloatArray
from trivalent.media.sound import AudioTrack

Image = NDArray[np.uint8]
Span = tuple[int, int]  # first and last sample of the speech

TALKERS = 6  # of a babble: fewer can still be followed, many more sound like steady noise
FRAME = (480, 640)  # height and width of the picture that holds a small face
FULL_WELL, READ_NOISE = 2000.0, 3.0  # electrons of a small sensor at white, and of its read-out
SUBSTITUTED, DELETED = 0.6, 0.25  # shares of the errors of a recogniser; the rest are insertions
NEIGHBOURS = 5  # most similar words that a word is misheard as


def white_noise(size: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian noise, shape (size,)."""
    return rng.standard_normal(size)


def babble(voices: Mapping[int, Sequence[FloatArray]], size: int, rng: np.random.Generator) -> FloatArray:
    """Sum the speech of several people at equal power, shape (size,).

    Parameters
    ----------
    voices : mapping
        Stretches of speech without silence around them, by speaker; `TALKERS` of them talk.
    """
    total = np.zeros(size)
    for speaker in rng.choice(sorted(voices), size=TALKERS, replace=False).tolist():
        said: list[FloatArray] = []
        while sum(map(len, said)) < 2 * size:
            said.append(voices[speaker][int(rng.integers(len(voices[speaker])))])
        talk = np.concatenate(said)
        first = rng.integers(len(talk) - size)
        part = talk[first : first + size]
        total += part / max(np.sqrt(np.mean(talk**2)), 1e-9)
    return total


def mixed(clean: FloatArray, noise: FloatArray, *, speech: Span, snr_db: float) -> AudioTrack:
    """Add noise to a whole recording, `snr_db` below the mean power of its speech."""
    stretch = slice(*speech)
    ratio = np.mean(clean[stretch] ** 2) / np.mean(noise[stretch] ** 2)
    both = clean + np.sqrt(ratio / 10 ** (snr_db / 10)) * noise
    both = both * min(1.0, 0.99 / np.abs(both).max())  # no clipping: nothing depends on the level
    return AudioTrack(np.rint(both * 32767).astype(np.int16))


def blurred(image: Image, face_px: float, strength: float) -> Image:
    """Gaussian blur whose deviation is `strength` of the longer side of the face."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), strength * face_px), np.uint8)


def darkened(image: Image, stops: float, rng: np.random.Generator) -> Image:
    """Halve the light `stops` times; photons and read-out add the noise of a small sensor."""
    encoded = image / 255.0
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    electrons = rng.poisson(light / 2**stops * FULL_WELL) + rng.normal(0, READ_NOISE, image.shape)
    seen = np.clip(electrons / FULL_WELL, 0, 1)
    encoded = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def far_away(image: Image, face_px: float, wanted_px: float) -> Image:
    """Shrink a picture until its face has `wanted_px`, in the middle of a frame of its mean colour."""
    scale = min(1.0, wanted_px / face_px)
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    frame = np.empty((*FRAME, 3), np.uint8)
    frame[:] = image.mean((0, 1))
    top, left = (FRAME[0] - size[1]) // 2, (FRAME[1] - size[0]) // 2
    frame[top : top + size[1], left : left + size[0]] = small
    return frame


class Mishearing:
    """Errors of a speech recogniser: words lost, added, or taken for others that look alike.

    Parameters
    ----------
    texts : iterable of str
        A corpus: what is heard instead is one of its words, insertions by their frequency.
    least : int
        A word must occur as often to be heard.
    """

    def __init__(self, texts: Iterable[str], *, least: int = 3) -> None:
        counts = Counter(bare(word) for text in texts for word in text.split())
        self.words = sorted(w for w, n in counts.items() if w and n >= least)
        frequency = np.array([counts[w] for w in self.words], float)
        self._chance = frequency / frequency.sum()
        self._letters: dict[str, int] = {}
        for word in self.words:
            for pair in _pairs(word):
                self._letters.setdefault(pair, len(self._letters))
        self._vectors = np.stack([self._vector(w) for w in self.words])
        self._near: dict[str, list[str]] = {}

    def similar(self, word: str) -> list[str]:
        """Return the words of the corpus that share most pairs of letters, best first."""
        if word not in self._near:
            likeness = self._vectors @ self._vector(word)
            order = [int(i) for i in np.argsort(-likeness, kind="stable")[: NEIGHBOURS + 1]]
            self._near[word] = [self.words[i] for i in order if self.words[i] != word][:NEIGHBOURS]
        return self._near[word]

    def mishear(self, text: str, rate: float, rng: np.random.Generator) -> str:
        """Spoil a text at an expected word error rate; letter case and punctuation stay."""
        heard: list[str] = []
        for word in text.split():
            chance = rng.random() / rate if rate else 1.0
            if chance < SUBSTITUTED and bare(word):
                heard.append(_dressed(rng.choice(self.similar(bare(word))), like=word))
            elif not SUBSTITUTED <= chance < SUBSTITUTED + DELETED:
                heard.append(word)
            if SUBSTITUTED + DELETED <= chance < 1:
                heard.append(str(rng.choice(self.words, p=self._chance)))
        return " ".join(heard)

    def _vector(self, word: str) -> NDArray[np.float32]:
        out = np.zeros(len(self._letters), np.float32)
        for pair in _pairs(word):
            if pair in self._letters:
                out[self._letters[pair]] += 1
        return out / max(1.0, float(np.linalg.norm(out)))


def bare(word: str) -> str:
    """Lower-case word without punctuation around it.

    >>> bare("Don't!")
    "don't"
    """
    return word.lower().strip(string.punctuation + "\u2018\u2019\u201c\u201d\u2026\x91\x92")


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Errors per word of a corpus, letter case and punctuation apart.

    >>> round(word_error_rate(["That is so nice!"], ["that was nice"]), 2)
    0.5
    """
    pairs = [
        [[w for w in map(bare, t.split()) if w] for t in both] for both in zip(said, heard, strict=True)
    ]
    return sum(_errors(*both) for both in pairs) / max(1, sum(len(both[0]) for both in pairs))


def _errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein distance of two sequences of words."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def _pairs(word: str) -> list[str]:
    closed = f"^{word}$"
    return [closed[i : i + 2] for i in range(len(closed) - 1)]


def _dressed(word: str, *, like: str) -> str:
    """Give a word the capital and the punctuation of another."""
    core = bare(like)
    at = like.lower().find(core)
    named = word.capitalize() if like[at].isupper() else word
    return like[:at] + named + like[at + len(core) :]
