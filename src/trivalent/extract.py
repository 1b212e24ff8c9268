"""Features of a whole file as one table: what `trivalent extract` writes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.bundle.loading import sentence_encoder
from trivalent.core.errors import InputError, MediaError, UsageError
from trivalent.core.types import FeatureTable, Utterance
from trivalent.features.extractor import Extractor, Material, Need, TimedImage, defaults
from trivalent.features.registry import extractor as extractor_named
from trivalent.features.registry import own_extractors
from trivalent.media.kinds import is_text
from trivalent.speech.transcripts import SUFFIXES, Transcript, parse_transcript, read_transcript
from trivalent.speech.utterances import words_of_cue

if TYPE_CHECKING:
    from trivalent.media.recording import Recording
    from trivalent.media.sound import AudioTrack


def extract(
    extractor: str,
    source: str | Path,
    *,
    columns: Sequence[str] | None = None,
    transcript: str | Path | None = None,
    **options: Any,
) -> FeatureTable:
    """Compute the features of a recording, or of a text for an extractor that needs words.

    Parameters
    ----------
    extractor : str
        covarep (one row per 10 ms), face (per sampled frame with a face), glove (per word),
        minilm (per utterance or sentence, its vector in the default bundle's text expert),
        sentence_glove (the rows of both),
        openface (per frame; see `trivalent.features.openface`), or one that another package brings.
    source : str or Path
        A recording; .txt, .md, .srt or .vtt for words. Words of an untimed text are at 0 s.
        openface also reads a .csv that OpenFace wrote before.
    columns : sequence of str, optional
        Only these, in this order.
    transcript : str or Path, optional
        Of an extractor that needs words: what was said, instead of recognition.
    **options
        Of the extractor: the fields of its options class, such as `CovarepOptions`.

    Returns
    -------
    FeatureTable
        Without rows, status `missing` and a reason where nothing was found (no face, no words).

    Raises
    ------
    UsageError
        Unknown extractor or column, or an option that is not for this extractor.
    InputError
        The source cannot be read or lacks the track that the extractor needs.

    Examples
    --------
    >>> extract("covarep", "a.txt")
    Traceback (most recent call last):
    ...
    trivalent.core.errors.InputError: expected a recording for covarep, got the text a.txt; ...
    """
    wanted = extractor_named(extractor)
    chosen = _options(wanted, options)
    if transcript is not None and Need.WORDS not in wanted.needs:
        readers = [e.name for e in own_extractors() if Need.WORDS in e.needs]
        raise _misplaced("transcript", suited=readers, extractor=extractor)
    file = _File(Path(source), purpose=extractor, transcript=transcript)
    if file.is_text and Need.WORDS not in wanted.needs:
        raise InputError("extract.text_source", extractor=extractor, name=file.path.name)
    if file.is_text and transcript is not None:
        raise UsageError("extract.text_transcript", name=file.path.name)
    table = wanted.extract(file.material(), chosen, columns=columns)
    if wanted.needs & {Need.SOUND, Need.PICTURES} and file.opened is not None:
        warnings = [*file.opened.warnings, *table.meta.get("warnings", [])]
        table = replace(table, meta={**table.meta, "warnings": warnings})
    return table


def _options(wanted: Extractor, given: Mapping[str, Any]) -> Any:
    """Make the extractor's options; one of another extractor is refused, unless it has its default."""
    own = defaults(wanted)
    for name in [name for name in given if name not in own]:
        others = {e.name: defaults(e)[name] for e in own_extractors() if name in defaults(e)}
        if not others:
            listed = ", ".join(own) or "it has none"
            raise UsageError("extract.option_unknown", name=wanted.name, listed=listed, given=name)
        if given[name] not in others.values():
            raise _misplaced(name, suited=list(others), extractor=wanted.name)
    return wanted.options(**{name: value for name, value in given.items() if name in own})


def _misplaced(option: str, *, suited: Sequence[str], extractor: str) -> UsageError:
    named = " or ".join(sorted(suited))
    return UsageError("extract.option_misplaced", option=option, named=named, extractor=extractor)


class _File:
    """A file, opened as far as an extractor asks."""

    def __init__(self, path: Path, *, purpose: str, transcript: str | Path | None) -> None:
        self.path, self.purpose, self.transcript = path, purpose, transcript
        self.is_text = is_text(path) or path.suffix.lower() in SUFFIXES

    def material(self) -> Material:
        return Material(
            words=self.words,
            sound=lambda: self._audio(self.purpose).read(),
            pictures=self.pictures,
            video=self.video,
            encoder=sentence_encoder,
            path=self.path,
        )

    @property
    def opened(self) -> Recording | None:
        """Return the recording if somebody has asked for it."""
        return vars(self).get("recording")

    @cached_property
    def recording(self) -> Recording:
        from trivalent.speech.heard import open_heard

        return open_heard(self.path)

    def words(self) -> Sequence[Utterance]:
        """Return utterances with their words: read, aligned or recognised."""
        if self.is_text:
            return _read_utterances(self.path)
        from trivalent.speech.recognizer import Recognizer

        given = None if self.transcript is None else read_transcript(self.transcript)
        duration_s = self.recording.duration_s
        audio = self._audio("words without a transcript") if given is None else self.recording.audio
        return Recognizer().recognize(audio, duration_s=duration_s, transcript=given).utterances

    def pictures(self, *, rate_hz: float, max_side: int) -> Generator[TimedImage, None, None]:
        if self.recording.kind != "video":
            raise self._without_pictures()
        return self.recording.frames(rate_hz=rate_hz, max_side=max_side)

    def video(self) -> Path:
        from trivalent.media.recording import media_kind

        if media_kind(self.path) != "video":
            _ = self.recording  # tells what is wrong with a file that is no recording
            raise self._without_pictures()
        return self.path

    def _audio(self, purpose: str) -> AudioTrack:
        if self.recording.audio is None:
            raise MediaError("extract.no_sound", purpose=purpose, name=self.path.name)
        return self.recording.audio

    def _without_pictures(self) -> MediaError:
        return MediaError("extract.no_pictures_for", purpose=self.purpose, name=self.path.name)


def _read_utterances(path: Path) -> list[Utterance]:
    return [
        Utterance(i, cue.start_s or 0.0, cue.end_s or 0.0, cue.text, tuple(words))
        for i, cue in enumerate(_read(path).cues)
        if (words := words_of_cue(cue, cue.start_s or 0.0, cue.end_s or 0.0))
    ]


def _read(path: Path) -> Transcript:
    if path.suffix.lower() in SUFFIXES:
        return read_transcript(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "no access"
        raise InputError("text.unreadable", path=path, strerror=reason) from error
    return parse_transcript(data, name=path.name)


__all__ = ["extract"]
