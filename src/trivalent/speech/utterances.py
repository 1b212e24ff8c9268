"""Cutting a stream of words into utterances of about 1 to 15 seconds: pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from trivalent.core.errors import TranscriptError
from trivalent.core.messages import Message
from trivalent.core.types import Utterance, Word
from trivalent.speech.transcripts import Cue, Transcript

MIN_S = 1.0
MAX_S = 15.0
PAUSE_S = 0.7  # a silence that speakers make between thoughts rather than between words
JOIN_S = 2.0  # a fragment further away than this stays alone
# Within their turns people rarely pause for a second (Campione & Veronis, Speech Prosody 2002): sentences
# that are further apart are of different takes, turns or moods, however short they are.
APART_S = 1.0
WINDOW_S = 4.0

Piece = list[Word]


def cut_utterances(
    words: Sequence[Word],
    *,
    min_s: float = MIN_S,
    max_s: float = MAX_S,
    pause_s: float = PAUSE_S,
    end_s: float | None = None,
) -> tuple[Utterance, ...]:
    """Cut at pauses and at the ends of sentences.

    Parameters
    ----------
    words : sequence of Word
        In the order spoken. Times that run backwards or overlap are moved forward.
    min_s, max_s : float
        Shorter pieces join a neighbour not further than 2 s away (whole sentences of several words:
        1 s) or grow into the silence around; longer ones are split at their longest pauses, unless a
        single word is longer.
    pause_s : float
        A silence at least this long ends an utterance.
    end_s : float or None
        End of the recording.

    Returns
    -------
    tuple of Utterance
        Every word once, in order; utterances never overlap.

    Examples
    --------
    >>> spoken = [Word("I", 0.0, 0.2), Word("won.", 0.2, 1.1), Word("Really!", 1.3, 2.4)]
    >>> [(u.text, u.start_s, u.end_s) for u in cut_utterances(spoken)]
    [('I won.', 0.0, 1.1), ('Really!', 1.3, 2.4)]
    """
    pieces: list[Piece] = []
    for word in tidy(words):
        last = pieces[-1][-1] if pieces else None
        if last is None or word.start_s - last.end_s >= pause_s or ends_sentence(last.text):
            pieces.append([word])
        else:
            pieces[-1].append(word)
    return shape(pieces, min_s=min_s, max_s=max_s, end_s=end_s)


def shape(
    pieces: Sequence[Piece], *, min_s: float = MIN_S, max_s: float = MAX_S, end_s: float | None = None
) -> tuple[Utterance, ...]:
    """Split what is longer than `max_s`, join what is shorter than `min_s`, number the rest."""
    split = [part for piece in pieces if piece for part in _split(piece, min_s, max_s)]
    joined = _join(split, min_s, max_s)
    spans = _grow(joined, min_s, end_s)
    return tuple(
        Utterance(i, start_s, stop_s, " ".join(w.text for w in piece), tuple(piece))
        for i, (piece, (start_s, stop_s)) in enumerate(zip(joined, spans, strict=True))
    )


def windows(duration_s: float, *, length_s: float = WINDOW_S) -> tuple[Utterance, ...]:
    """Cover a recording without speech by equal windows of about `length_s` seconds.

    >>> [(u.start_s, u.end_s, u.spoken) for u in windows(7.0)]
    [(0.0, 3.5, False), (3.5, 7.0, False)]
    """
    if duration_s <= 0:
        return ()
    count = max(1, round(duration_s / length_s))
    edges = [duration_s * i / count for i in range(count + 1)]
    return tuple(Utterance(i, edges[i], edges[i + 1], spoken=False) for i in range(count))


def words_of_cue(cue: Cue, start_s: float, end_s: float) -> Piece:
    """Spread the words of a cue over its time in proportion to their letters."""
    texts = cue.text.split()
    total = sum(len(text) for text in texts)
    piece, done = [], 0
    for text in texts:
        first, done = done, done + len(text)
        piece.append(
            Word(
                text,
                start_s + (end_s - start_s) * first / total,
                start_s + (end_s - start_s) * done / total,
            )
        )
    return piece


def spread_sentences(sentences: Sequence[str], spans: Sequence[tuple[float, float]]) -> list[Piece]:
    """Lay sentences without times over stretches of speech, in proportion to their letters.

    Parameters
    ----------
    sentences : sequence of str
    spans : sequence of (start, end)
        Seconds, in order, not overlapping, each longer than 0.

    Returns
    -------
    list of list of Word
        One piece per sentence.
    """
    edges = [0.0]
    for start_s, end_s in spans:
        edges.append(edges[-1] + end_s - start_s)
    flat = words_of_cue(Cue(" ".join(sentences)), 0.0, edges[-1])
    pieces, first = [], 0
    for sentence in sentences:
        last = first + len(sentence.split())
        pieces.append([_place(word, edges, spans) for word in flat[first:last]])
        first = last
    return [piece for piece in pieces if piece]


def _place(word: Word, edges: list[float], spans: Sequence[tuple[float, float]]) -> Word:
    """Move a word from speech time to the recording's time, inside one stretch of speech."""
    middle = (word.start_s + word.end_s) / 2
    i = min(bisect_right(edges, middle) - 1, len(spans) - 1)
    low_s, high_s = spans[i]
    start_s = min(max(low_s + word.start_s - edges[i], low_s), high_s)
    return replace(word, start_s=start_s, end_s=min(max(low_s + word.end_s - edges[i], start_s), high_s))


def tidy(words: Sequence[Word]) -> list[Word]:
    """Make times run forward: each word starts no earlier than the last one ended."""
    tidied: list[Word] = []
    now_s = 0.0
    for word in words:
        start_s = max(word.start_s, now_s)
        now_s = max(word.end_s, start_s)
        tidied.append(replace(word, start_s=start_s, end_s=now_s))
    return tidied


def ends_sentence(text: str) -> bool:
    """Tell whether a word closes a sentence.

    >>> ends_sentence('won."'), ends_sentence("Mr."), ends_sentence("won,")
    (True, False, False)
    """
    bare = text.rstrip("\"'”’)]")
    return bare.endswith((".", "!", "?", "…", "。", "！", "？")) and bare not in {
        "Mr.",
        "Mrs.",
        "Ms.",
        "Dr.",
        "St.",
    }


def _span(piece: Piece) -> float:
    return piece[-1].end_s - piece[0].start_s


def _split(piece: Piece, min_s: float, max_s: float) -> list[Piece]:
    """Halve at the longest pause (a comma counts as 0.3 s) until every part fits."""
    todo, done = [piece], []
    while todo:
        part = todo.pop()
        if len(part) == 1 or _span(part) <= max_s:
            done.append(part)
            continue
        at = max(range(1, len(part)), key=lambda i: _cut_quality(part, i, min_s))
        todo += [part[at:], part[:at]]
    return done


def _cut_quality(part: Piece, at: int, min_s: float) -> tuple[bool, float]:
    before, after = part[at - 1], part[at]
    left, right = before.end_s - part[0].start_s, part[-1].end_s - after.start_s
    pause = after.start_s - before.end_s + 0.3 * before.text.endswith((",", ";", ":"))
    # Balance decides between equal pauses: words without pauses are cut near the middle.
    return min(left, right) >= min_s, pause - 0.2 * abs(left - right) / _span(part)


def _join(pieces: list[Piece], min_s: float, max_s: float) -> list[Piece]:
    """Join short pieces to the nearer neighbour while the whole fits."""
    joined: list[Piece] = []
    for i, piece in enumerate(pieces):
        last = joined[-1] if joined else None
        following = pieces[i + 1] if i + 1 < len(pieces) else None
        short = _span(piece) < min_s
        if last is not None and (short or _span(last) < min_s) and _fits(last, piece, max_s):
            # A short piece may be nearer to what follows; that one will take it then.
            waits = short and _span(last) >= min_s and following is not None
            nearer = following is not None and _gap(piece, following) < _gap(last, piece)
            if not (waits and nearer and following is not None and _fits(piece, following, max_s)):
                joined[-1] = last + piece
                continue
        joined.append(piece)
    return joined


def _gap(left: Piece, right: Piece) -> float:
    return right[0].start_s - left[-1].end_s


def _fits(left: Piece, right: Piece, max_s: float) -> bool:
    # a word alone says too little to stand by itself, whatever its sign
    sentences = ends_sentence(left[-1].text) and len(left) > 1 and len(right) > 1
    near_s = APART_S if sentences else JOIN_S
    return _gap(left, right) <= near_s and right[-1].end_s - left[0].start_s <= max_s


def _grow(pieces: list[Piece], min_s: float, end_s: float | None) -> list[tuple[float, float]]:
    """Let a short piece take silence on both sides, half of each gap at most."""
    spans = []
    for i, piece in enumerate(pieces):
        start_s, stop_s = piece[0].start_s, piece[-1].end_s
        lack = min_s - (stop_s - start_s)
        if lack > 0:
            low = (pieces[i - 1][-1].end_s + start_s) / 2 if i else 0.0
            high = (stop_s + pieces[i + 1][0].start_s) / 2 if i + 1 < len(pieces) else end_s
            high = stop_s + lack if high is None else max(high, stop_s)
            before = min(lack / 2, start_s - low)
            after = min(lack - before, high - stop_s)
            before = min(lack - after, start_s - low)
            start_s, stop_s = start_s - before, stop_s + after
        spans.append((start_s, stop_s))
    return spans


def align_cues(transcript: Transcript, duration_s: float) -> tuple[tuple[Utterance, ...], list[str]]:
    """Turn timed cues into utterances: long cues are split, short ones joined.

    Raises
    ------
    TranscriptError
        No cue starts within the recording.
    """
    inside = [cue for cue in transcript.cues if cue.start_s is not None and cue.start_s < duration_s]
    if not inside:
        raise TranscriptError(
            "transcript.elsewhere", duration_s=duration_s, start_s=transcript.cues[0].start_s
        )
    pieces = [words_of_cue(cue, cue.start_s or 0.0, min(cue.end_s or 0.0, duration_s)) for cue in inside]
    outside = len(transcript.cues) - len(inside)
    notes: list[str] = []
    if outside:
        notes.append(Message("transcript.late_cues", count=outside))
    return shape(pieces, end_s=duration_s), notes


def align_text(
    transcript: Transcript, spans: Sequence[tuple[float, float]], duration_s: float
) -> tuple[Utterance, ...]:
    """Lay sentences without times over stretches of speech; see `spread_sentences`."""
    return shape(spread_sentences([cue.text for cue in transcript.cues], spans), end_s=duration_s)
