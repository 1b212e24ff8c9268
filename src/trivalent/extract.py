"""Features of a whole file as one table: what `trivalent extract` writes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trivalent.bundle.loading import Expert, load_bundle
from trivalent.core.errors import BundleError, InputError, MediaError, UsageError
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import FeatureTable, FloatArray, Modality, Utterance
from trivalent.features import extractor_columns, extractor_version
from trivalent.features.openface_runner import TIMEOUT_S
from trivalent.features.text import encode, normalize, pack, pad
from trivalent.media.kinds import is_text
from trivalent.speech.transcripts import SUFFIXES, Transcript, parse_transcript, read_transcript
from trivalent.speech.utterances import words_of_cue

if TYPE_CHECKING:
    from trivalent.features.glove import GloVe
    from trivalent.media.recording import Recording
    from trivalent.media.sound import AudioTrack

FACE_RATE_HZ = AnalyzerOptions.face_rate_hz
SENTENCE_COLUMNS: tuple[str, ...] = tuple(f"minilm_{i}" for i in range(384))
LONGEST_SIDE_PX = 1280
_BATCH = 32
# Which extractors an option is for.
_OPTIONS = {
    "landmarks": ("face",),
    "face_rate_hz": ("face",),
    "transcript": ("glove", "minilm"),
    "glove_file": ("glove",),
    "rd": ("covarep",),
    "seed": ("covarep",),
    "creak_weights": ("covarep",),
    "strict": ("covarep",),
    "timeout_s": ("openface",),
}


def extract(
    extractor: str,
    source: str | Path,
    *,
    columns: Sequence[str] | None = None,
    landmarks: bool = False,
    face_rate_hz: float = FACE_RATE_HZ,
    transcript: str | Path | None = None,
    glove_file: str | Path | None = None,
    rd: str = "head",
    seed: int = 0,
    creak_weights: str | Path | None = None,
    strict: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> FeatureTable:
    """Compute the features of a recording, or of a text for `glove` and `minilm`.

    Parameters
    ----------
    extractor : str
        covarep (one row per 10 ms), face (per sampled frame with a face), glove (per word),
        minilm (per utterance or sentence, its vector in the default bundle's text expert) or
        openface (per frame, by the user's own OpenFace; see `trivalent.features.openface_runner`).
    source : str or Path
        A recording; .txt, .md, .srt or .vtt for words. Words of an untimed text are at 0 s.
        openface also reads a .csv that OpenFace wrote before.
    columns : sequence of str, optional
        Only these, in this order.
    landmarks : bool
        face: append the 478 landmarks.
    face_rate_hz : float
        face: frames looked at per second, 0.1 to 60.
    transcript : str or Path, optional
        glove and minilm: what was said, instead of recognition.
    glove_file : str or Path, optional
        glove: a GloVe text file, instead of the installed 50-dimensional vectors.
    rd, seed, creak_weights, strict
        covarep: see `trivalent.features.covarep.covarep`.
    timeout_s : float
        openface: seconds after which its program is stopped.

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
    extractor_version(extractor)  # refuses an unknown name
    given = {
        "landmarks": landmarks,
        "face_rate_hz": face_rate_hz != FACE_RATE_HZ,
        "transcript": transcript is not None,
        "glove_file": glove_file is not None,
        "rd": rd != "head",
        "seed": seed != 0,
        "creak_weights": creak_weights is not None,
        "strict": strict,
        "timeout_s": timeout_s != TIMEOUT_S,
    }
    _check_options(extractor, [option for option, is_given in given.items() if is_given])
    path = Path(source)
    of_words = is_text(path) or path.suffix.lower() in SUFFIXES
    if of_words and extractor in ("covarep", "face", "openface"):
        raise InputError(
            f"expected a recording for {extractor}, got the text {path.name}; name a media file"
        )
    if of_words and transcript is not None:
        raise UsageError(
            f"expected a recording with a transcript, got the text {path.name}; drop one of them"
        )
    if extractor == "covarep":
        chosen = _checked(columns, extractor_columns("covarep"))
        return _voice(path, chosen, rd=rd, seed=seed, creak_weights=creak_weights, strict=strict)
    if extractor == "face":
        return _face(path, columns, landmarks=landmarks, rate_hz=face_rate_hz)
    if extractor == "openface":
        return _openface(path, columns, timeout_s=timeout_s)
    if extractor == "glove":
        glove = _glove(glove_file)
        chosen = _checked(columns, glove.columns)
        words = [word for utterance in _spoken(path, transcript, of_words) for word in utterance.words]
        return glove.table(words).select(chosen)
    chosen = _checked(columns, SENTENCE_COLUMNS)
    expert = _text_expert()
    return _sentences(expert, _spoken(path, transcript, of_words)).select(chosen)


def _check_options(extractor: str, given: Sequence[str]) -> None:
    for option in given:
        if extractor not in _OPTIONS[option]:
            suited = " or ".join(_OPTIONS[option])
            raise UsageError(f"expected the option {option} with {suited} only, got {extractor}; drop it")


def _checked(columns: Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    """Return the columns to keep, refusing unknown and repeated ones before any work is done."""
    if columns is None:
        return tuple(available)
    chosen = tuple(name.strip() for name in columns)
    for name in chosen:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(available[:8])}, ..."
            raise UsageError(f"expected one of the {len(available)} columns, got {name!r}; {hint}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise UsageError(f"expected distinct columns, got {', '.join(chosen) or 'none'}; list each once")
    return chosen


def _voice(path: Path, columns: tuple[str, ...], **options: Any) -> FeatureTable:
    from trivalent.features.covarep import covarep
    from trivalent.media.sound import SAMPLE_RATE

    recording = _open(path)
    table = covarep(_sound(recording, "covarep").read(), SAMPLE_RATE, columns=columns, **options)
    return _with_warnings(table, recording.warnings)


def _face(path: Path, columns: Sequence[str] | None, *, landmarks: bool, rate_hz: float) -> FeatureTable:
    from trivalent.features.face import COLUMNS, LANDMARK_COLUMNS, FaceExtractor

    if not 0.1 <= rate_hz <= 60:
        raise UsageError(f"expected a face rate between 0.1 and 60 Hz, got {rate_hz:g}")
    chosen = _checked(columns, (*COLUMNS, *LANDMARK_COLUMNS) if landmarks else COLUMNS)
    recording = _open(path)
    if recording.kind != "video":
        raise MediaError(f"expected a video for face, got {path.name} without pictures; name a video file")
    frames = recording.frames(rate_hz=rate_hz, max_side=LONGEST_SIDE_PX)
    table = FaceExtractor(landmarks=landmarks).extract(frames)
    found = [*recording.warnings, *table.meta.get("warnings", [])]
    table.meta["rate_hz"] = rate_hz
    return _with_warnings(table, found).select(chosen)


def _openface(path: Path, columns: Sequence[str] | None, *, timeout_s: float) -> FeatureTable:
    from trivalent.features.openface import read_openface
    from trivalent.features.openface_runner import run_openface
    from trivalent.media.recording import media_kind

    if not timeout_s > 0:
        raise UsageError(f"expected a time limit above 0 s, got {timeout_s:g}")
    chosen = None if columns is None else _checked(columns, extractor_columns("openface"))
    if path.suffix.lower() == ".csv":
        return read_openface(path, chosen)
    if media_kind(path) != "video":
        _open(path)  # tells what is wrong with a file that is no recording
        raise MediaError(
            f"expected a video for openface, got {path.name} without pictures; name a video file"
        )
    return run_openface(path, columns=chosen, timeout_s=timeout_s)


def _glove(file: str | Path | None) -> GloVe:
    from trivalent.features.glove import GloVe

    return GloVe.installed() if file is None else GloVe.from_text_file(file)


def _text_expert() -> Expert:
    bundle = load_bundle("default")
    if Modality.TEXT not in bundle.experts:
        raise BundleError("expected a text expert in the bundle 'default', found none; reinstall trivalent")
    return bundle.experts[Modality.TEXT]


def _sentences(expert: Expert, utterances: Sequence[Utterance]) -> FeatureTable:
    """One vector per utterance; one longer than the encoder's window is the mean of its pieces."""
    version = extractor_version("minilm")
    utterances = [u for u in utterances if normalize(u.text)]
    if not utterances:
        return FeatureTable.absent("minilm", version, columns=SENTENCE_COLUMNS, reason="no words")
    owned = [(i, ids) for i, u in enumerate(utterances) for ids in encode(pack(normalize(u.text)))]
    owners = np.array([i for i, _ in owned])
    lengths = np.array([len(ids) for _, ids in owned], float)
    vectors = _embed(expert, [ids for _, ids in owned])
    own = [owners == i for i in range(len(utterances))]
    values = np.stack([np.average(vectors[rows], axis=0, weights=lengths[rows]) for rows in own])
    meta = {"texts": [u.text for u in utterances], "end_s": [u.end_s for u in utterances]}
    times = np.array([u.start_s for u in utterances])
    return FeatureTable("minilm", version, SENTENCE_COLUMNS, times, values, meta=meta)


def _embed(expert: Expert, pieces: Sequence[list[int]]) -> FloatArray:
    vectors = np.empty((len(pieces), len(SENTENCE_COLUMNS)))
    order = np.argsort([len(ids) for ids in pieces], kind="stable")
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        vectors[rows] = expert.embed(*pad([pieces[i] for i in rows]))
    return vectors


def _spoken(path: Path, transcript: str | Path | None, of_words: bool) -> Sequence[Utterance]:
    """Return utterances with their words: read, aligned or recognised."""
    if of_words:
        return _read_utterances(path)
    from trivalent.speech.recognizer import Recognizer

    given = None if transcript is None else read_transcript(transcript)
    recording = _open(path)
    audio = recording.audio if given is not None else _sound(recording, "words without a transcript")
    return Recognizer().recognize(audio, duration_s=recording.duration_s, transcript=given).utterances


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
        raise InputError(f"expected a readable text file, got {path}: {reason}; check the path") from error
    return parse_transcript(data, name=path.name)


def _open(path: Path) -> Recording:
    from trivalent.media.recording import open_recording

    return open_recording(path)


def _sound(recording: Recording, purpose: str) -> AudioTrack:
    if recording.audio is None:
        raise MediaError(
            f"expected sound for {purpose}, got {recording.name} without a usable audio track; "
            "name a recording with sound"
        )
    return recording.audio


def _with_warnings(table: FeatureTable, warnings: Sequence[str]) -> FeatureTable:
    return replace(table, meta={**table.meta, "warnings": list(warnings)})


__all__ = ["FACE_RATE_HZ", "LONGEST_SIDE_PX", "SENTENCE_COLUMNS", "extract"]
