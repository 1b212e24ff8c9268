"""IEMOCAP: acted dialogues of ten speakers, with emotions and valence per utterance.

C. Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database", Language
Resources and Evaluation 42(4), 2008. The data root holds the official folder:
`IEMOCAP_full_release/Session{1..5}/dialog/{EmoEvaluation,transcriptions}/*.txt` and
`IEMOCAP_full_release/Session{1..5}/sentences/wav/DIALOGUE/UTTERANCE.wav`.

An utterance has the emotion that most annotators chose, in three letters, and the mean of their
valence, 1 to 5. Sentiment is not annotated; the protocols derive it (`EMOTIONS`, `VALENCE`).

The split is by session: 1 to 3 train, 4 val, 5 test. The two speakers of a session play all its
dialogues and no other's, so that no speaker is shared; the session is also the group.

No counts are asserted. The literature gives 10,039 utterances, among them 1,636 happy or
excited, 1,708 neutral, 1,103 angry and 1,084 sad ones, but no counts of the remaining negative
emotions by session, and the corpus is not at hand to count them.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.protocols import Protocol

log = logging.getLogger(__name__)
FOLDER = "IEMOCAP_full_release"
SPLIT_OF_SESSION = {1: "train", 2: "train", 3: "train", 4: "val", 5: "test"}
EMOTIONS = {
    "hap": Sentiment.POSITIVE,
    "exc": Sentiment.POSITIVE,
    "neu": Sentiment.NEUTRAL,
    "ang": Sentiment.NEGATIVE,
    "sad": Sentiment.NEGATIVE,
    "fru": Sentiment.NEGATIVE,
    "fea": Sentiment.NEGATIVE,
    "dis": Sentiment.NEGATIVE,
}
UNDECIDED = {
    "sur": "surprised (sur), of either sentiment",
    "oth": "other emotions (oth)",
    "xxx": "annotators disagree (xxx)",
}
VALENCE = (2.5, 3.5)  # at most the first: negative; at least the second: positive; else neutral
_NUMBER = r"(-?\d+(?:\.\d*)?)"
_SUMMARY = re.compile(
    rf"\[\s*{_NUMBER}\s*-\s*{_NUMBER}\s*\]\s+(\S+)\s+(\S+)\s+"
    rf"\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]\s*"
)
_TURN = re.compile(r"(\S+)\s+\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s*:?\s*(.*)")
_UTTERANCE = re.compile(r"Ses0([1-5])[FM]_\S+_[FM](?:\d+|XX\d*)")


class Utterance(NamedTuple):
    """An annotated utterance: times in seconds, emotion in three letters, valence 1 to 5."""

    name: str
    session: int
    start_s: float
    end_s: float
    emotion: str
    valence: float


@dataclass(frozen=True)
class Corpus:
    """What the annotation files say.

    Attributes
    ----------
    utterances : tuple of Utterance
        In the order of sessions, dialogues and lines.
    texts : dict of str to str
        Transcript by utterance.
    dropped : dict of str to int
        Lines and utterances that cannot be used, by reason.
    """

    utterances: tuple[Utterance, ...]
    texts: dict[str, str]
    dropped: dict[str, int]


def read_iemocap(root: Path) -> Corpus:
    """Read the evaluations and transcriptions of the sessions that are there.

    Lines that cannot be read are counted and logged, the others stay usable.

    Raises
    ------
    DataError
        The folder is absent or holds no evaluation.
    """
    dropped: Counter[str] = Counter()
    texts: dict[str, str] = {}
    utterances: dict[str, Utterance] = {}
    contradicted = set()
    for path in _files(root, "dialog/EmoEvaluation/*.txt"):
        for utterance in _evaluations(path, dropped):
            first = utterances.setdefault(utterance.name, utterance)
            if first == utterance and first is not utterance:
                dropped["lines repeated"] += 1
            elif first != utterance:
                contradicted.add(utterance.name)
    if not utterances:
        raise DataError("iemocap.absent", root=root / FOLDER)
    absent = len(set(SPLIT_OF_SESSION) - {u.session for u in utterances.values()})
    if absent:
        dropped["sessions absent"] = absent
    if contradicted:
        dropped["utterances evaluated twice, differently"] = len(contradicted)
    for path in _files(root, "dialog/transcriptions/*.txt"):
        for line in _lines(path):
            if turn := _TURN.fullmatch(line):
                texts.setdefault(turn[1], turn[2].strip())
    unheard = sum(name not in utterances for name in texts if _UTTERANCE.fullmatch(name))
    if unheard:
        dropped["transcribed turns that nobody evaluated (XX among them)"] = unheard
    kept = tuple(u for u in utterances.values() if u.name not in contradicted)
    return Corpus(kept, texts, dict(dropped))


def _files(root: Path, pattern: str) -> list[Path]:
    paths = sorted((root / FOLDER).glob(f"Session[1-5]/{pattern}"))
    return [path for path in paths if not path.name.startswith("._")]  # the release has such twins


def _lines(path: Path) -> Iterator[str]:
    try:
        # The release is ASCII but for a few bytes of Latin-1, which any byte is.
        content = path.read_text(encoding="latin-1")
    except OSError as error:
        raise DataError("iemocap.text", path=path, strerror=error.strerror) from error
    yield from (line.strip() for line in content.splitlines())


def _evaluations(path: Path, dropped: Counter[str]) -> Iterator[Utterance]:
    """Yield what the summary lines say; those of single annotators (C-, A-) and comments are skipped."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.startswith("["):
            continue
        cells = _SUMMARY.fullmatch(line)
        name = _UTTERANCE.fullmatch(cells[3]) if cells else None
        reason = ""
        if cells is None:
            reason = "evaluations that cannot be read"
        elif name is None:
            reason = "evaluations of an unknown session or speaker"
        elif not float(cells[2]) > float(cells[1]) >= 0:
            reason = "evaluations that end before they start"
        elif not 0 < float(cells[5]) < 6:  # a mean slightly beyond the scale is clipped later
            reason = "evaluations with a valence outside 1 to 5"
        if reason or cells is None or name is None:
            log.warning("%s, line %d: left out, %s: %s", path, number, reason, line[:100])
            dropped[reason] += 1
            continue
        yield Utterance(
            cells[3], int(name[1]), float(cells[1]), float(cells[2]), cells[4].lower(), float(cells[5])
        )


def load_iemocap(root: Path, protocol: Protocol, features: bool = True) -> Dataset:
    """Make the samples of a protocol: transcripts, durations and scores, no features.

    Scores are the annotated valence v in both protocols, as 1.5 (v - 3); a class derived from
    the emotion need not have its sign.
    """
    del features  # they are computed from the recordings, see iemocap_wavs
    corpus = read_iemocap(root)
    dropped = Counter(corpus.dropped)
    kept, labels = [], []
    for utterance in corpus.utterances:
        if protocol.name == "valence":
            label = sentiment_of_valence(utterance.valence)
        elif utterance.emotion in EMOTIONS:
            label = EMOTIONS[utterance.emotion]
        else:
            dropped[UNDECIDED.get(utterance.emotion, f"unknown emotion {utterance.emotion!r}")] += 1
            continue
        kept.append(utterance)
        labels.append(int(label))
    if not kept:
        raise DataError(
            "iemocap.no_sentiment", root=root / FOLDER, name=protocol.name, count=len(corpus.utterances)
        )
    valence = np.array([u.valence for u in kept])
    beyond = int(((valence < 1) | (valence > 5)).sum())
    if beyond:
        dropped["valences clipped to 1 to 5"] = beyond
    return Dataset(
        name="iemocap",
        protocol=protocol.name,
        ids=np.array([u.name for u in kept]),
        groups=np.array([f"Session{u.session}" for u in kept]),
        split=np.array([SPLIT_OF_SESSION[u.session] for u in kept]),
        labels=np.array(labels, dtype=np.int64),
        scores=1.5 * (np.clip(valence, 1, 5) - 3),
        seconds=np.array([u.end_s - u.start_s for u in kept]),
        texts=tuple(corpus.texts.get(u.name, "") for u in kept),
        dropped=dict(dropped),
    )


def sentiment_of_valence(valence: float) -> Sentiment:
    """Turn a mean valence of 1 to 5 into a class, symmetric about 3.

    >>> [sentiment_of_valence(v).label for v in (1.0, 2.5, 2.6667, 3.5)]
    ['negative', 'negative', 'neutral', 'positive']
    """
    if valence <= VALENCE[0]:
        return Sentiment.NEGATIVE
    return Sentiment.POSITIVE if valence >= VALENCE[1] else Sentiment.NEUTRAL


def iemocap_wavs(root: Path) -> dict[str, Path]:
    """Find the recordings of the utterances, by name.

    Returns
    -------
    dict of str to Path
        Also of utterances that no protocol keeps.

    Raises
    ------
    DataError
        There are none.
    """
    found = {path.stem: path for path in _files(root, "sentences/wav/*/*.wav")}
    if not found:
        raise DataError("iemocap.no_sound", root=root / FOLDER)
    return found


ENTRIES = (
    Entry(
        "iemocap",
        "IEMOCAP, 10,039 utterances of 10 actors in 151 dialogues (English)",
        "research use on request, USC SAIL",
        "https://sail.usc.edu/iemocap/",
        (
            Protocol(
                "emotion",
                "happy and excited are positive, neutral is neutral, angry, sad, frustrated, fearful and "
                "disgusted are negative, all others left out; sessions 1-3, 4, 5",
            ),
            Protocol(
                "valence",
                "every utterance by its mean valence (1 to 5): at most 2.5 negative, at least 3.5 "
                "positive, else neutral; sessions 1-3, 4, 5",
            ),
        ),
        load_iemocap,
        remedy="USC SAIL gives the corpus out on request: https://sail.usc.edu/iemocap/iemocap_release.htm",
    ),
)
