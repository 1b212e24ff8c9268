"""Real errors of recognition: sentences spoken by eSpeak NG, with noise, heard by Whisper tiny.en."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from disturbances import mixed, word_error_rate
from robustness_parts import RATE, ScoredAnswers, seeded
from trivalent.core.types import Modality, Utterance
from trivalent.experts.readings import Reading
from trivalent.experts.text import read_texts
from trivalent.lab.datasets.text import TextData
from trivalent.media.recording import open_recording
from trivalent.media.sound import AudioTrack
from trivalent.speech.recognizer import Recognizer, Speech

if TYPE_CHECKING:
    from robustness import Study

SYNTHESIZER = "espeak-ng"
VOICES = ("en-us", "en-us+f3", "en-gb", "en-gb+f2")
SNRS_DB = (20.0, 10.0, 5.0, 0.0)
SENTENCES = 150
LEAST_WORDS = 4
SILENCE_S = 0.5  # before and after


def recognized(study: Study, data: TextData) -> None:
    """Add a line of rows: the sentences as written, and as heard through more and more noise."""
    long = np.array([len(text.split()) >= LEAST_WORDS for text in data.texts])
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(long))[: 20 if study.quick else SENTENCES]
    part = data.take(chosen)
    with tempfile.TemporaryDirectory() as folder:
        spoken = [speak(t, VOICES[i % len(VOICES)], Path(folder)) for i, t in enumerate(part.texts)]
    recognizer = Recognizer("tiny.en", threads=1)
    written = [Utterance(i, 0.0, 0.0, text) for i, text in enumerate(part.texts)]
    rows = [("written", "words: the synthesized sentences as written")]
    study.add(rows[0][1], _asked(study, written, part))
    for snr_db in (None, *SNRS_DB):
        heard = []
        for i, audio in enumerate(spoken):
            track = audio if snr_db is None else _noisy(audio, snr_db, i)
            heard.append(recognizer.recognize(track, duration_s=track.duration_s))
        name = f"words: recognised, {'no noise' if snr_db is None else f'white noise {snr_db:g} dB'}"
        texts = [_joined(i, s) for i, s in enumerate(heard)]
        rate = word_error_rate(part.texts, [u.text for u in texts])
        study.add(name, _asked(study, texts, part), word_error_rate=rate)
        rows.append(("clean" if snr_db is None else f"{snr_db:g}", name))
    study.curve("words: recognised", "", "speech over noise, dB", rows)


def speak(text: str, voice: str, folder: Path) -> AudioTrack:
    """Synthesize a sentence with silence around it."""
    path = folder / "said.wav"
    command = [SYNTHESIZER, "-v", voice, "-s", "160", "-w", str(path), "--stdin"]
    subprocess.run(command, input=text.encode(), check=True, capture_output=True)
    audio = open_recording(path).audio
    said = np.zeros(0, np.int16) if audio is None else audio.samples
    silence = np.zeros(round(SILENCE_S * RATE), np.int16)
    return AudioTrack(np.concatenate([silence, said, silence]))


def _noisy(audio: AudioTrack, snr_db: float, index: int) -> AudioTrack:
    samples, edge = audio.read().astype(np.float64), round(SILENCE_S * RATE)
    noise = seeded("spoken", snr_db, index).standard_normal(len(samples))
    return mixed(samples, noise, speech=(edge, len(samples) - edge), snr_db=snr_db)


def _joined(index: int, speech: Speech) -> Utterance:
    """Put all that was heard into one utterance; nothing if it must not be scored as English."""
    if speech.language != "en":
        return Utterance(index, 0.0, 0.0, "")
    words = tuple(w for u in speech.utterances for w in u.words)
    return Utterance(index, 0.0, 0.0, " ".join(u.text for u in speech.utterances), words)


def _asked(study: Study, utterances: Sequence[Utterance], part: TextData) -> ScoredAnswers:
    readings: list[Reading] = read_texts(study.bundle.experts[Modality.TEXT], utterances)
    return ScoredAnswers.of(readings, part.labels, np.array(part.groups))
