"""What each modality says about each utterance: readings with a status, never silent zeros.

A `Reading` is the bridge between extractors and fusion: either calibrated probabilities
with a quality in [0, 1], or a status and the reason why there are none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from trivalent.bundle.fusion import Opinion
from trivalent.bundle.loading import MIN_STEPS, Expert, Inputs
from trivalent.core.errors import FeatureError, UsageError
from trivalent.core.types import FeatureTable, FloatArray, Status, Utterance
from trivalent.experts.quality import FaceMeasures, Span, speech_to_noise
from trivalent.features.extractor import Material
from trivalent.features.frames import ROWS_PER_STEP, STEP_S
from trivalent.features.registry import extractor
from trivalent.features.text import encode, has_words, normalize, pack, pad, tokenizer
from trivalent.media.sound import AudioTrack

Progress = Callable[[float], None]
OnVoice = Callable[[float, FeatureTable], None]

MIN_VOICED_S = 0.25  # fewer voiced frames than this describe a cough, not a voice
FULL_VOICED_S = 1.0  # from here on the voice counts fully
FULL_FACE_FRAMES = 5
FULL_WORD_PROBABILITY = 0.7  # recogniser's mean word probability from which the words count fully


@dataclass(frozen=True, eq=False)
class Reading:
    """One expert's view of one utterance."""

    status: Status
    reason: str | None = None
    opinion: Opinion | None = None
    facts: dict[str, float] = field(default_factory=dict)
    repaired: int = 0

    @classmethod
    def absent(
        cls, reason: str, *, status: Status = Status.MISSING, facts: dict[str, float] | None = None
    ) -> Reading:
        """Say why there is nothing."""
        return cls(status, reason, None, facts or {})


def read_texts(
    expert: Expert, utterances: Sequence[Utterance], *, progress: Progress | None = None
) -> list[Reading]:
    """Classify the words of utterances.

    A text longer than the encoder's window is cut at sentences and its pieces averaged by
    their number of tokens.
    """
    pieces: list[list[int]] = []
    owners: list[int] = []
    readings: list[Reading] = []
    unknown = tokenizer().token_to_id("[UNK]")
    for i, utterance in enumerate(utterances):
        facts = {"words": float(len(utterance.text.split()))}
        ids = encode(pack(normalize(utterance.text))) if has_words(utterance.text) else []
        content = [t for piece in ids for t in piece[1:-1]]
        if not utterance.text.strip():
            readings.append(Reading.absent("no words"))
        elif not content:
            readings.append(Reading.absent("no word in the text, only signs", facts=facts))
        elif all(t == unknown for t in content):
            readings.append(Reading.absent("none of the words or signs is in the vocabulary", facts=facts))
        else:
            readings.append(Reading(Status.OK, facts=facts))
            pieces += ids
            owners += [i] * len(ids)
    if pieces:
        _classify_pieces(
            expert, pieces, owners=owners, utterances=utterances, readings=readings, progress=progress
        )
    return readings


def _classify_pieces(
    expert: Expert,
    pieces: Sequence[list[int]],
    *,
    owners: Sequence[int],
    utterances: Sequence[Utterance],
    readings: list[Reading],
    progress: Progress | None,
) -> None:
    lengths = np.array([len(p) for p in pieces])
    probabilities = np.empty((len(pieces), 3))
    # One at a time: the int8 graph scales its activations over the whole batch, so that a text would
    # be judged differently beside other texts.
    for k, piece in enumerate(pieces):
        probabilities[k] = expert.from_tokens(*pad([piece]))[0]
        if progress:
            progress((k + 1) / len(pieces))
    owner = np.asarray(owners)
    for i in np.unique(owner):
        rows = owner == i
        mean = np.average(probabilities[rows], axis=0, weights=lengths[rows])
        quality, facts = _word_quality(utterances[i])
        opinion = Opinion(mean, expert.spec.prior, quality)
        readings[i] = Reading(Status.OK, None, opinion, {**readings[i].facts, **facts})


def _word_quality(utterance: Utterance) -> tuple[float, dict[str, float]]:
    known = [w.probability for w in utterance.words if w.probability is not None]
    if not known:
        return 1.0, {}
    mean = float(np.mean(known))
    return min(1.0, mean / FULL_WORD_PROBABILITY), {"word_probability": mean}


def language_problem(utterances: Sequence[Utterance], language: str | None) -> str | None:
    """Say why the words must not be scored as English, or return None."""
    if language == "en" or not any(u.text for u in utterances):
        return None
    named = "could not be told" if language is None else f"is {language!r}"
    return f"the language {named}, the text expert reads English"


def read_voice(
    expert: Expert,
    utterances: Sequence[Utterance],
    *,
    audio: AudioTrack | None,
    progress: Progress | None,
    on_voice: OnVoice | None = None,
    voiced: Sequence[Span] = (),
) -> list[Reading]:
    """Classify the voice of utterances from COVAREP columns, one utterance at a time.

    `on_voice` is called with the start in seconds and the columns of every utterance; `voiced` is
    where the voice activity detector hears speech.
    """
    if audio is None:
        return [Reading.absent("the recording has no audio track") for _ in utterances]
    readings, spans = [], [(u.start_s, u.end_s) for u in utterances]
    for i, utterance in enumerate(utterances):
        table = _voice_columns(expert, audio.read(utterance.start_s, utterance.end_s))
        if on_voice:
            on_voice(utterance.start_s, table)
        ratio_db = speech_to_noise(audio, spans, i, voiced=voiced)
        readings.append(_one_voice(expert, table, {} if ratio_db is None else {"snr_db": ratio_db}))
        if progress:
            progress((i + 1) / len(utterances))
    return readings


def _voice_columns(expert: Expert, samples: FloatArray) -> FeatureTable:
    spec = expert.spec
    try:
        return extractor(spec.extractor).extract(Material(sound=lambda: samples), columns=spec.columns)
    except (FeatureError, UsageError) as error:
        return FeatureTable.absent(
            spec.extractor,
            spec.extractor_version,
            columns=spec.columns,
            reason=str(error),
            status=Status.FAILED,
        )


def _one_voice(expert: Expert, table: FeatureTable, measured: dict[str, float]) -> Reading:
    if table.status is not Status.OK:
        return Reading.absent(table.reason or "no voice features", status=table.status)
    voiced_s = voiced_seconds(table)
    facts = {"voiced_s": voiced_s, **measured}
    if voiced_s < MIN_VOICED_S:
        return Reading.absent(f"{voiced_s:.2f} s of voiced speech, needs {MIN_VOICED_S:g} s", facts=facts)
    return _classify_table(expert, table, quality=min(1.0, voiced_s / FULL_VOICED_S), facts=facts)


def voiced_seconds(table: FeatureTable) -> float:
    """Count the seconds of voiced speech, a row every 10 ms; all of them where no column tells voicing."""
    if "VUV" not in table.columns:
        return float(np.ptp(table.times)) if len(table) else 0.0
    return float(np.nansum(table.column("VUV"))) * 0.01


def read_face(
    expert: Expert,
    utterances: Sequence[Utterance],
    *,
    table: FeatureTable,
    measures: FaceMeasures | None = None,
) -> list[Reading]:
    """Classify the face of utterances from the frames that fall into them.

    `measures` holds what was measured beside the table in the same frames.
    """
    if table.status is not Status.OK:
        return [Reading.absent(table.reason or "no face", status=table.status) for _ in utterances]
    rate = float(table.meta["rate_hz"])
    readings = []
    for utterance in utterances:
        part, sampled = frames_within(table, utterance.start_s, utterance.end_s, rate_hz=rate)
        facts = {"frames_with_face": float(len(part)), "frames_sampled": float(max(sampled, len(part)))}
        if not len(part):
            readings.append(Reading.absent(f"no face in {sampled} sampled frames", facts=facts))
            continue
        if measures is not None:
            facts |= measures.facts(part.times)
        seen = min(1.0, len(part) / sampled) * min(1.0, len(part) / min(FULL_FACE_FRAMES, sampled))
        readings.append(
            _classify_table(expert, part.select(expert.spec.columns), quality=seen, facts=facts)
        )
    return readings


def frames_within(
    table: FeatureTable, start_s: float, end_s: float, *, rate_hz: float
) -> tuple[FeatureTable, int]:
    """Take the frames of a stretch and tell how many pictures were looked at there.

    A stretch shorter than a sampling period still gets its nearest frame.
    """
    slack = max(0.0, 1.5 / rate_hz - (end_s - start_s)) / 2
    sampled = max(1, round((end_s - start_s + 2 * slack) * rate_hz))
    return table.between(start_s - slack, end_s + slack), sampled


def _classify_table(
    expert: Expert, table: FeatureTable, *, quality: float, facts: dict[str, float]
) -> Reading:
    probabilities, missing = expert.from_table(table)
    if probabilities is not None:
        return Reading(Status.OK, None, Opinion(probabilities, expert.spec.prior, quality), facts, missing)
    if expert.spec.inputs is Inputs.FRAMES:
        steps, needed = len(table) // ROWS_PER_STEP * STEP_S, MIN_STEPS * STEP_S
        if steps < needed:
            return Reading.absent(f"{steps:.2f} s of sound, needs {needed:g} s", facts=facts)
        reason = f"{missing} of {len(table)} rows are digital silence"
    else:
        reason = f"{missing} of {len(expert.spec.pooling)} features could not be computed"
    return Reading.absent(reason, status=Status.FAILED, facts=facts)
