"""Who says what when: utterances with timed words, from Whisper or from a transcript."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from trivalent.core.messages import Message
from trivalent.core.options import AUTO, AnalyzerOptions
from trivalent.core.types import UNTOLD, Utterance
from trivalent.media.sound import AudioTrack
from trivalent.speech.activity import Pack, Span, find_speech, pack_speech
from trivalent.speech.language import with_languages
from trivalent.speech.transcripts import Transcript
from trivalent.speech.utterances import align_cues, align_text, cut_utterances, windows
from trivalent.speech.weights import SIZES, model_folder
from trivalent.speech.whisper import (
    Heard,
    doubtful,
    hear,
    hear_language,
    made_up,
    mostly_numbers,
    unintelligible,
)

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

__all__ = ["SIZES", "Recognizer", "Speech", "cut_utterances", "wordless"]

Progress = Callable[[float], None]

VAD_SHARE = 0.15  # of the work when Whisper tiny.en follows, measured on two cores
LANGUAGE_PACKS = 3


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes
    ----------
    utterances : tuple of Utterance
        In order, not overlapping; each knows the language of its words.
    language : str or None
        "en", another ISO 639-1 code, or None if unknown or nothing was said: of most of the words.
    warnings : tuple of str
        One sentence each.
    spoken_s : float
        Seconds with a voice, as the voice activity detector hears it.
    spans : tuple of (float, float)
        Where it hears one, start and end in seconds, in order; words may be missing from some.
    """

    utterances: tuple[Utterance, ...]
    language: str | None
    warnings: tuple[str, ...] = ()
    spoken_s: float = 0.0
    spans: tuple[Span, ...] = ()


class Recognizer:
    """Find utterances and words; the model is loaded on first use and kept.

    Parameters
    ----------
    model : str
        A Whisper size of `SIZES`. `tiny.en` needs no network; sizes without ".en" also detect
        the language.
    threads : int
        CPU threads of the recogniser.
    language : str
        What is spoken, or `auto`.
    """

    def __init__(
        self,
        model: str = AnalyzerOptions.whisper,
        *,
        threads: int = AnalyzerOptions.threads,
        language: str = AUTO,
    ) -> None:
        self.model = model
        self.threads = threads
        self.chosen = None if language == AUTO else language
        self._whisper: WhisperModel | None = None

    @property
    def multilingual(self) -> bool:
        """Whether the model can tell the language."""
        return not self.model.endswith(".en")

    def recognize(
        self,
        audio: AudioTrack | None,
        *,
        duration_s: float,
        transcript: Transcript | None = None,
        progress: Progress | None = None,
    ) -> Speech:
        """Cut a recording into utterances.

        Parameters
        ----------
        audio : AudioTrack or None
            None for a recording without sound.
        duration_s : float
            Length of the whole recording, which may exceed that of the sound.
        transcript : Transcript or None
            What was said; Whisper is then not run. Without times, it is laid over the speech.
        progress : callable or None
            Gets the fraction done, 0 to 1.

        Returns
        -------
        Speech
            Utterances of about 1 to 15 s with `spoken=True`; without speech, windows of about
            4 s with `spoken=False` that cover the recording.

        Raises
        ------
        AssetError
            The model's files are absent or changed.
        UsageError
            Unknown model.
        TranscriptError
            The transcript lies outside the recording.
        """
        tell = progress or _silent
        share = VAD_SHARE if transcript is None else 1.0
        spans = [] if audio is None else find_speech(audio, progress=lambda done: tell(done * share))
        if transcript is not None:
            speech = _follow(transcript, spans, duration_s, chosen=self.chosen)
        elif audio is None or not spans:
            note = Message("speech.none")
            speech = Speech(windows(duration_s), None, (note,))
        else:
            speech = self._listen(audio, spans, duration_s, lambda done: tell(share + done * (1 - share)))
        tell(1.0)
        return replace(speech, spans=tuple(spans))

    def _listen(self, audio: AudioTrack, spans: list[Span], duration_s: float, tell: Progress) -> Speech:
        whisper = self._load()
        packs = pack_speech(audio, spans)
        spoken_s = sum(high - low for low, high in spans)
        language, warnings = self._language(whisper, audio, packs)
        heard = Heard()
        for i, pack in enumerate(packs):

            def tell_pack(done: float, before: int = i) -> None:
                tell((before + done) / len(packs))

            heard.add(hear(whisper, pack, audio, language=language or "en", progress=tell_pack))
            tell_pack(1.0)
        warnings += heard.warnings()
        if not heard.words:
            utterances = wordless(spans, duration_s)
            warnings.append(Message("speech.not_understood"))
            return Speech(utterances, None, tuple(warnings), spoken_s)
        guessed = not self.multilingual and self.chosen is None
        if language == "en" and mostly_numbers(heard):
            warnings.append(Message("speech.numbers"))
            language = None
        elif language == "en" and (unintelligible(heard) or (guessed and doubtful(heard))):
            warnings.append(Message("speech.doubtful", probability=heard.probability))
            language = None
        utterances = cut_utterances(heard.words, end_s=duration_s)
        doubted = made_up([u.words for u in utterances]) if guessed else [False] * len(utterances)
        told = [UNTOLD if language is None or doubt else language for doubt in doubted]
        utterances = tuple(replace(u, language=t) for u, t in zip(utterances, told, strict=True))
        if language is not None and any(doubted):
            warnings.append(Message("speech.stretches_doubtful", count=sum(doubted)))
        return Speech(utterances, language, tuple(warnings), spoken_s)

    def _language(
        self, whisper: WhisperModel, audio: AudioTrack, packs: Sequence[Pack]
    ) -> tuple[str | None, list[str]]:
        """Name the language, if the user does not; an English-only model can but assume English."""
        if self.chosen is not None:
            unheard = self.chosen != "en" and not self.multilingual
            return self.chosen, [Message("speech.only_english", language=self.chosen)] if unheard else []
        if not self.multilingual:
            return "en", []
        chosen = np.unique(np.linspace(0, len(packs) - 1, LANGUAGE_PACKS).round().astype(int))
        language, probability = hear_language(whisper, [packs[i].read(audio) for i in chosen])
        if language == "en":
            return language, []
        return language, [Message("speech.other_language", language=language, probability=probability)]

    def _load(self) -> WhisperModel:
        if self._whisper is None:
            folder = model_folder(self.model)
            from faster_whisper import WhisperModel

            self._whisper = WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=self.threads,
                local_files_only=True,
            )
        return self._whisper


def _silent(done: float) -> None:
    """Tell nobody."""


def wordless(spans: Sequence[Span], duration_s: float) -> tuple[Utterance, ...]:
    """Make utterances of a voice without words: laughter, or a language nobody knows."""
    found: list[Utterance] = []
    for low, high in spans:
        for part in windows(high - low):
            start_s, end_s = low + part.start_s, min(low + part.end_s, duration_s)
            if end_s > start_s:
                found.append(Utterance(len(found), start_s, end_s))
    return tuple(found)


def _follow(transcript: Transcript, spans: list[Span], duration_s: float, *, chosen: str | None) -> Speech:
    """Take the words from the user's transcript."""
    warnings = list(transcript.warnings)
    spoken_s = sum(high - low for low, high in spans)
    if transcript.timed:
        utterances, notes = align_cues(transcript, duration_s)
        warnings += notes
    else:
        utterances = align_text(transcript, spans or [(0.0, duration_s)], duration_s)
        over = Message("speech.over_speech" if spans else "speech.over_whole")
        warnings.append(Message("speech.spread", over=over))
    utterances = with_languages(utterances, chosen=chosen)
    letters: Counter[str] = Counter()
    for utterance in utterances:
        if utterance.language is not None:
            letters[utterance.language] += len(utterance.text)
    language = letters.most_common(1)[0][0] if letters else None
    return Speech(utterances, language, tuple(warnings), spoken_s)
