"""The channel of words: what was said or written, read by an encoder of English."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from trivalent.bundle.loading import Expert, sentence_encoder
from trivalent.core.messages import Message
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import UNTOLD, Modality, Status, Utterance
from trivalent.experts.channel import Begin, Channel, Progress, Spoken, View
from trivalent.experts.encoder import Encoder
from trivalent.experts.readings import Reader, Reading, read_table
from trivalent.features.extractor import Material
from trivalent.features.signs import unknown_signs
from trivalent.features.text import encode, has_words, normalize, pad, split_to_fit, tokenizer
from trivalent.speech.language import ENOUGH, SURE, is_gibberish

SHOWN_SIGNS = 10  # that are named as not understood
READ = "en"  # the language that the expert reads
FULL_WORD_PROBABILITY = 0.8  # recogniser's mean word probability from which the words count fully

_SENTENCE_END = re.compile(r"[.!…]+(?=[\"'”’)]*(?:\s|$))|(?<=[\w'’])$")
_QUESTION = re.compile(r"((?:[^.!?…]|\.(?=\w))+)\?[.!?…]*")
_ASKING = re.compile(  # a question word, or a verb before its subject, where a clause begins
    r"\b(what|who|whom|whose|where|when|why|how|which)\b|(^|,)\s*(huh|eh|right|really|okay|ok)$"
    r"|(^\s*|, ?|\b(so|and|but|or|well|oh|hey|wait|then) )"
    r"((do|have|don['’]t|haven['’]t) (you|i|we|they|people)|does|did|is|are|am|was|were|has|had|can|could"
    r"|will|would|shall|should|may|might|must"
    r"|(doesn|didn|isn|aren|wasn|weren|hasn|hadn|can|couldn|won|wouldn|shouldn)['’]t)\b",
    re.IGNORECASE,
)


def read_texts(
    reader: Reader, utterances: Sequence[Utterance], *, progress: Progress | None = None
) -> list[Reading]:
    """Read the words of utterances.

    A text longer than the window of an expert is cut at sentences and its pieces averaged by
    their number of tokens.
    """
    if isinstance(reader, Encoder):
        return _encode_texts(reader, utterances, progress=progress)
    pieces: list[list[int]] = []
    owners: list[int] = []
    readings: list[Reading] = []
    for i, utterance in enumerate(utterances):
        quality = {"words": float(len(utterance.text.split()))}
        ids, reason = tokens_of(utterance)
        if reason is not None:
            readings.append(Reading.absent(reason, quality=quality if utterance.text.strip() else None))
        else:
            readings.append(Reading(Status.OK, quality=quality))
            pieces += ids
            owners += [i] * len(ids)
    if pieces:
        _classify_pieces(
            reader, pieces, owners=owners, utterances=utterances, readings=readings, progress=progress
        )
    return readings


def tokens_of(utterance: Utterance) -> tuple[list[list[int]], Message | None]:
    """Return the pieces that an expert reads of an utterance, as token ids; or none, and why."""
    if not utterance.text.strip():
        return [], Message("reason.no_words")
    problem = language_problem(utterance)
    if problem is not None:
        return [], problem
    ids = encode(split_to_fit(normalize(as_heard(utterance)))) if has_words(utterance.text) else []
    content = [t for piece in ids for t in piece[1:-1]]
    if not content:
        return [], Message("reason.only_signs")
    if set(content) == {tokenizer().token_to_id("[UNK]")}:
        return [], Message("reason.no_vocabulary")
    return ids, None


def as_heard(utterance: Utterance) -> str:
    """Return the words with one full stop for every end that a recogniser gave a sentence.

    It cannot hear an exclamation mark; what a person typed stays as it is. A question mark stays where
    the words ask.

    >>> from trivalent.core.types import Word
    >>> as_heard(Utterance(0, 0, 1, "Stop! Now", (Word("Stop!", 0, 0.5, 0.9), Word("Now", 0.5, 1, 0.8))))
    'Stop. Now.'
    >>> as_heard(Utterance(0, 0, 1, "It's red? Is it?", (Word("It's red? Is it?", 0, 1, 0.9),)))
    "It's red. Is it?"
    >>> as_heard(Utterance(0, 0, 1, "Stop! Now"))
    'Stop! Now'
    """
    if all(word.probability is None for word in utterance.words):
        return utterance.text
    text = _QUESTION.sub(_asked_or_told, utterance.text.strip())
    return _SENTENCE_END.sub(".", text)


def _asked_or_told(sentence: re.Match[str]) -> str:
    return f"{sentence[1]}{'?' if _ASKING.search(sentence[1]) else '.'}"


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
        reliability, quality = _word_reliability(utterances[i])
        opinion = expert.opinion(mean, reliability)
        readings[i] = Reading(Status.OK, None, opinion, {**readings[i].quality, **quality})


def _encode_texts(
    encoder: Encoder, utterances: Sequence[Utterance], *, progress: Progress | None
) -> list[Reading]:
    """Make the features of each text, alone, so that the others change nothing."""
    readings, options = [], encoder.options()
    for i, utterance in enumerate(utterances):
        reliability, told = _word_reliability(utterance)
        quality = {"words": float(len(utterance.text.split())), **told}
        problem = language_problem(utterance)
        if not utterance.text.strip():
            readings.append(Reading.absent(Message("reason.no_words")))
        elif problem is not None:
            readings.append(Reading.absent(problem, quality=quality))
        elif not has_words(utterance.text):
            readings.append(Reading.absent(Message("reason.only_signs"), quality=quality))
        else:
            material = Material(words=lambda one=utterance: [one], encoder=sentence_encoder)  # type: ignore[misc]
            table = encoder.extractor.extract(material, options, columns=encoder.spec.columns)
            if table.status is Status.OK:
                readings.append(
                    read_table(
                        encoder, table, reliability=reliability, quality=quality, utterance=utterance
                    )
                )
            else:
                readings.append(Reading.absent(table.reason or Message("reason.no_words"), quality=quality))
        if progress:
            progress((i + 1) / len(utterances))
    return readings


def _word_reliability(utterance: Utterance) -> tuple[float, dict[str, float]]:
    reliability, told = _language_reliability(utterance)
    known = [w.probability for w in utterance.words if w.probability is not None]
    if not known:
        return reliability, told
    mean = float(np.mean(known))
    # Squared: half of the words misheard leaves less than half of the meaning.
    return reliability * min(1.0, mean / FULL_WORD_PROBABILITY) ** 2, {**told, "word_probability": mean}


def sign_warnings(texts: Iterable[str]) -> list[str]:
    """Name the emoji of texts that no expert understands: they have no weight."""
    signs = dict.fromkeys(sign for text in texts for sign in unknown_signs(text))
    return [Message("text.unknown_signs", signs=" ".join([*signs][:SHOWN_SIGNS]))] if signs else []


def _language_reliability(utterance: Utterance) -> tuple[float, dict[str, float]]:
    """Have words count less that are hardly, or perhaps not, in the language that the expert reads."""
    share = utterance.language_probability
    if utterance.language not in (None, READ):
        return 1.0 - share, {"language_probability": 1.0 - share}
    if share < ENOUGH:
        return share / ENOUGH, {"language_probability": share}
    return 1.0, {}


def language_problem(utterance: Utterance) -> Message | None:
    """Say why words must not be scored as English, or return None; being unsure of it is no reason."""
    if utterance.language == UNTOLD:
        return Message("reason.language_unknown")
    if is_gibberish(utterance.text):
        return Message("reason.gibberish")
    if utterance.language in (None, READ) or utterance.language_probability < SURE:
        return None
    return Message("reason.language_other", language=utterance.language)


def language_notes(utterances: Sequence[Utterance], readings: Sequence[Reading]) -> list[Message]:
    """Tell what of the words was not scored, and what counts less, for the sake of their language."""
    codes = ("reason.language_unknown", "reason.language_other", "reason.gibberish")
    reasons = [r.reason for r in readings if isinstance(r.reason, Message) and r.reason.code in codes]
    notes = [
        Message("reason.text_unread", reason=reason, count=count, total=len(readings))
        for reason, count in Counter(reasons).items()
    ]
    unsure = [
        u
        for u, r in zip(utterances, readings, strict=True)
        if r.status is Status.OK and u.language not in (None, READ)
    ]
    if unsure:
        languages = sorted({str(u.language) for u in unsure})
        total = len(readings)
        notes.append(Message("reason.language_unsure", languages=languages, count=len(unsure), total=total))
    return notes


def _read(reader: Reader, spoken: Spoken, *, options: AnalyzerOptions, begin: Begin) -> View:
    utterances, progress = spoken.speech.utterances, begin()
    readings = read_texts(reader, utterances, progress=progress)
    notes = language_notes(utterances, readings)
    view = View(readings, [*notes, *sign_warnings(u.text for u in utterances)])
    progress(1.0)
    return view


TEXT = Channel(Modality.TEXT, stage="speech", read=_read)
