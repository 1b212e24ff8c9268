"""One pass of Whisper over one pack of speech, and what of it can be believed."""

from __future__ import annotations

import re
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

# Over another language tiny.en makes up English: unsure of every word, and surer of stock phrases. Of
# 256 recordings and parts of them, .3 to 12 s long (120 in English, of which 45 below 2 s; 15 single
# words said outdoors in India; 121 in Mandarin, Polish, Italian), these rules refuse 7, 1 and 112. What
# is left of other languages are a few words, or English by the sound of it. Three words or fewer prove
# little: in English, too, they are mostly unsure. They count as little as they are likely. Held out: 59 of
# 60 further recordings in these languages were refused, 24 of 26 in English kept.
DOUBTFUL_PROBABILITY, DOUBTFUL_LOGPROB = 0.55, -0.7
REPEATED_PROBABILITY = 0.75  # people who repeat a sentence are heard as surely as before
FEW_WORDS, FEW_S = 3, 1.9  # in how long a stretch so few words, if unsure, are too few to be all
FEW_PROBABILITY, FEW_LOGPROB = 0.6, -1.0
STOCK_LOGPROB = -0.5
_STOCK = re.compile(
    r"thanks?( you)?( so| very)*( much)? for (watching|listening|your)|\bsee you (in the |next|soon|again)"
    r"|subscribe|i hope you enjoyed|^\W*thank you( so| very)*( much)?\W*$",
    re.IGNORECASE,
)
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
    tokens: int = 0  # of believable words
    log_likelihood: float = 0.0  # of these tokens

    def add(self, other: Heard) -> None:
        """Append what the next pack gave."""
        self.words += other.words
        self.loops += other.loops
        self.noise += other.noise
        self.kept_s += other.kept_s
        self.lost_s += other.lost_s
        self.tokens += other.tokens
        self.log_likelihood += other.log_likelihood

    @property
    def logprob(self) -> float:
        """Mean log-probability of a token, 0 without any."""
        return self.log_likelihood / self.tokens if self.tokens else 0.0

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
        elif segment.avg_logprob < STOCK_LOGPROB and _STOCK.search(segment.text.strip()):
            heard.noise += 1
            lost_s += length_s
        else:
            heard.words += _words(segment, pack)
            heard.tokens += len(segment.tokens)
            heard.log_likelihood += segment.avg_logprob * len(segment.tokens)
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
    """Tell whether an English-only model heard what is hardly English."""
    if len(heard.words) > FEW_WORDS:
        return heard.probability < DOUBTFUL_PROBABILITY or heard.logprob < DOUBTFUL_LOGPROB
    long = heard.kept_s + heard.lost_s > FEW_S
    return heard.logprob < FEW_LOGPROB or (long and heard.probability < FEW_PROBABILITY)


def made_up(stretches: Sequence[Sequence[Word]]) -> list[bool]:
    """Tell which stretches of what an English-only model heard are hardly English.

    It is unsure of their words; or they say again, less surely, what was said before.
    """
    found, said = [], set[str]()
    for words in stretches:
        known = [word.probability for word in words if word.probability is not None]
        mean = float(np.mean(known)) if known else 1.0
        text = " ".join(word.text for word in words).lower()
        least = REPEATED_PROBABILITY if text in said else DOUBTFUL_PROBABILITY
        found.append(len(known) > FEW_WORDS and mean < least)
        said.add(text)
    return found


def unintelligible(heard: Heard) -> bool:
    """Tell whether most of what was heard is no speech that makes sense, whatever the language."""
    lost = heard.lost_s > DOUBTFUL_LOST_SHARE * (heard.kept_s + heard.lost_s)
    return lost or not heard.words


def mostly_numbers(heard: Heard) -> bool:
    """Tell whether most words are numbers: of a list, or of a language that the model does not know."""
    lettered = sum(any(c.isalpha() for c in word.text) for word in heard.words)
    return lettered < DOUBTFUL_LETTERS_SHARE * len(heard.words)


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
