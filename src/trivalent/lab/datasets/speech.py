"""Five corpora of emotional speech besides RAVDESS, in four languages.

Every corpus is a folder of recordings with `labels.csv` (file, sentiment, emotion, speaker). The words
are the same in all emotions, or single ones: they carry no sentiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trivalent.core.errors import DataError
from trivalent.core.types import Sentiment
from trivalent.lab.datasets.reading import read_rows

FOLDER = Path("speech")


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus.

    Attributes
    ----------
    spoken : str
        Who says what, in which language.
    licence : str
    test : tuple of str
        Speakers whose names begin so are the test: nothing is trained, chosen or calibrated on them.
    one_in : int
        So many sentences (or utterances, where there are no numbered ones) give one that is read, where
        there are more than are needed.
    """

    spoken: str
    licence: str
    test: tuple[str, ...] = ()
    one_in: int = 1


CORPORA: Mapping[str, Corpus] = {
    "nemo_pl": Corpus("Polish, 9 actors, 90 sentences", "CC BY-NC-SA 4.0", ("MP0", "SM0"), one_in=5),
    "casia_zh": Corpus("Mandarin, 4 actors, 50 sentences", "research", ("zhaoquanyin",)),
    "emovo_it": Corpus("Italian, 6 actors, 14 sentences", "research", ("f3", "m3")),
    "indian_en": Corpus(
        "106 people in India, single words in real places", "CC BY-NC-SA 4.0", ("0", "f"), one_in=3
    ),
    "tess_en": Corpus("English, 2 actresses, 100 words in one phrase", "CC BY-NC-ND 4.0"),
}
_EMOTIONS = {
    "anger": "angry",
    "sadness": "sad",
    "fear": "fearful",
    "happiness": "happy",
    "pleasant_surprise": "happy",
}  # as RAVDESS calls them


@dataclass(frozen=True)
class SpokenTake:
    """One utterance.

    Attributes
    ----------
    id : str
        Corpus and file, "nemo_pl/00012".
    speaker : str
        Corpus and name, "nemo_pl/EB0".
    emotion : str
        By the names of `trivalent.lab.datasets.ravdess`.
    """

    id: str
    corpus: str
    speaker: str
    emotion: str
    label: Sentiment
    path: Path
    test: bool = False
    seconds: float = float("nan")


def list_speech(root: Path, corpus: str) -> list[SpokenTake]:
    """List the utterances of a corpus in the order of its table.

    Parameters
    ----------
    root : Path
        Data root, the folder that holds `speech/`.
    corpus : str
        One of `CORPORA`.

    Raises
    ------
    DataError
        The table is absent, or has an unknown sentiment.
    """
    folder, known = root / FOLDER / corpus, CORPORA[corpus]
    table = folder / "labels.csv"
    columns = ("file", "sentiment", "emotion", "speaker", "seconds")
    rows, _ = read_rows(table, columns)
    codes = {sentiment.label: sentiment for sentiment in Sentiment}
    if strange := {row["sentiment"] for row in rows} - set(codes):
        raise DataError("corpus.sentiment", known=list(codes), path=table, given=min(strange))
    return [
        SpokenTake(
            f"{corpus}/{Path(row['file']).stem}",
            corpus,
            f"{corpus}/{row['speaker']}",
            _EMOTIONS.get(row["emotion"], row["emotion"]),
            codes[row["sentiment"]],
            folder / row["file"],
            row["speaker"].startswith(known.test),
            float(row["seconds"]),
        )
        for i, row in enumerate(rows)
        if known.one_in == 1 or int(row.get("sentence", i)) % known.one_in == 0
    ]
