"""One pass of Whisper over one pack of speech, and what of it can be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.messages import Message
from trivalent.core.types import Word
from trivalent.media.sound import AudioTrack
from trivalent.speech.activity import Pack

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

LOOP_RATIO = 2.4  # OpenAI's limit: text that zlib shrinks more than this repeats itself
# People do repeat a sentence; Whisper is then sure of it. Above the second ratio nobody does.
LOOP_LOGPROB, LOOP_RATIO_ALWAYS = -0.5, 4.0
NO_SPEECH, NO_SPEECH_LOGPROB = 0.6, -1.0  # OpenAI's limits for text made up over noise
FASTEST = 8.0  # words a second: auctioneers reach 5
TOKENS_PER_S = 12  # more than speech can hold, so that a loop ends early

# Chosen on tiny.en: the mean word probability was .67 to .98 over 60 RAVDESS takes (acted anger
# and fear included), 6 joined ones, 4 CREMA-D clips and 6 espeak-ng English texts, all but one
# above .78, and at most .64 over espeak-ng texts (40 short, 10 long) in German, French, Spanish,
# Italian, Russian, Mandarin, Polish, Hindi, Turkish and Dutch, those apart on which it looped or
# heard numbers. Those are the other two signs. To leave English out costs less than to score
# other languages as English, so the limit lies above the middle of .64 and .67. Held out: all of
# 22 espeak-ng texts in 11 further languages were refused, and 56 of 60 English recordings were
# kept (40 RAVDESS, 20 espeak-ng); three of the four refused had been misheard.
DOUBTFUL_PROBABILITY = 0.70
DOUBTFUL_LOST_SHARE = 0.5
DOUBTFUL_LETTERS_SHARE = 0.5  # tiny.en hears Mandarin as lists of numbers
LOOP_DISTINCT_SHARE = 0.2  # of the words of a segment, when it has at least 12


@dataclass
class Heard:
    """Words that can be believed, and how much was left out."""

    words: list[Word] = field(default_factory=list)
    loops: int = 0
    noise: int = 0
    kept_s: float = 0.0  # speech in packs that gave believable words
    lost_s: float = 0.0  # speech in packs in which all was made up

    def add(self, other: Heard) -> None:
        """Append what the next pack gave."""
        self.words += other.words
        self.loops += other.loops
        self.noise += other.noise
        self.kept_s += other.kept_s
        self.lost_s += other.lost_s

    @property
    def probability(self) -> float:
        """Mean probability of the words, 0 without any."""
        return float(np.mean([word.probability for word in self.words])) if self.words else 0.0

    def warnings(self) -> list[str]:
        """Count what was left out."""
        found: list[str] = []
        if self.loops:
            found.append(Message("speech.loops", count=self.loops))
        if self.noise:
            found.append(Message("speech.noise", count=self.noise))
        return found


def hear(
    whisper: WhisperModel,
    pack: Pack,
    audio: AudioTrack,
    *,
    language: str,
    progress: Callable[[float], None] | None = None,
) -> Heard:
    """Recognise the words of a pack, with the recording's times.

    `progress` gets the share of the pack that is done, 0 to 1, after each segment that was heard.
    """
    segments, _ = whisper.transcribe(
        pack.read(audio),
        language=language,
        beam_size=5,
        temperature=0.0,  # no fallback to sampling: the same file gives the same words
        condition_on_previous_text=False,
        word_timestamps=True,
        vad_filter=False,
        no_speech_threshold=None,  # judged below, so that it can be counted
        max_new_tokens=min(220, 20 + round(TOKENS_PER_S * pack.duration_s)),
    )
    heard = Heard()
    kept_s = lost_s = 0.0
    for segment in segments:
        if progress is not None:
            progress(min(1.0, segment.end / pack.duration_s))
        length_s = segment.end - segment.start
        if _loops(segment):
            heard.loops += 1
            lost_s += length_s
        elif segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < NO_SPEECH_LOGPROB:
            heard.noise += 1
        else:
            heard.words += _words(segment, pack)
            kept_s += length_s
    lost_share = lost_s / (kept_s + lost_s) if kept_s + lost_s > 0 else 0.0
    heard.kept_s, heard.lost_s = pack.duration_s * (1 - lost_share), pack.duration_s * lost_share
    return heard


def hear_language(whisper: WhisperModel, sounds: Sequence[NDArray[np.float32]]) -> tuple[str, float]:
    """Name the likeliest language of some stretches of speech, and its mean probability."""
    totals: dict[str, float] = {}
    for sound in sounds:
        for language, probability in whisper.detect_language(sound)[2]:
            totals[language] = totals.get(language, 0.0) + probability / len(sounds)
    best = max(totals, key=lambda name: totals[name])
    return best, totals[best]


def doubtful(heard: Heard) -> bool:
    """Tell whether the words are too unsure to be taken for what was said in English."""
    total_s = heard.kept_s + heard.lost_s
    lettered = sum(any(c.isalpha() for c in word.text) for word in heard.words)
    return (
        heard.probability < DOUBTFUL_PROBABILITY
        or heard.lost_s > DOUBTFUL_LOST_SHARE * total_s
        or lettered < DOUBTFUL_LETTERS_SHARE * len(heard.words)
    )


def _loops(segment: Any) -> bool:
    """Tell whether a segment repeats itself or holds more words than anyone could say."""
    words = [word.word.strip().lower() for word in segment.words or ()]
    return (
        segment.compression_ratio > LOOP_RATIO_ALWAYS
        or (segment.compression_ratio > LOOP_RATIO and segment.avg_logprob < LOOP_LOGPROB)
        or (len(words) >= 12 and len(set(words)) < LOOP_DISTINCT_SHARE * len(words))
        or (len(words) > 8 and len(words) > FASTEST * max(0.1, segment.end - segment.start))
    )


def _words(segment: Any, pack: Pack) -> list[Word]:
    words = []
    for word in segment.words or ():
        if text := word.word.strip():
            start_s, end_s = pack.restore(word.start, word.end)
            words.append(Word(text, start_s, end_s, round(float(word.probability), 4)))
    return words
