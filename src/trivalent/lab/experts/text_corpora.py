"""Each corpus to the text expert: speech or writing, whose it is, how its validation part counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from trivalent.core.types import IntArray
from trivalent.lab.datasets.text_languages import TWEETS
from trivalent.lab.measure.metrics import accuracy, macro_f1, macro_recall, weighted_f1

_RESEARCH = "research use"


@dataclass(frozen=True)
class Corpus:
    """Title, licence and language of a corpus; whether its words were spoken and are what was labelled."""

    title: str
    licence: str = _RESEARCH
    spoken: bool = False
    language: str = "en"


@dataclass(frozen=True)
class Judged:
    """Validation parts that are scored as one: by which metrics, and what the first of them counts."""

    name: str
    corpora: tuple[str, ...]
    metrics: tuple[Callable[[IntArray, IntArray], float], ...]
    weight: float


CORPORA: Mapping[str, Corpus] = {
    "sst5": Corpus("SST-5"),
    "tweeteval": Corpus("TweetEval"),
    "meld": Corpus("MELD", "GPL-3.0", spoken=True),
    "mosi": Corpus("CMU-MOSI", spoken=True),
    "semaine": Corpus("SEMAINE", spoken=True),
    "iemocap": Corpus("IEMOCAP"),  # labelled by voice and face
    "emorynlp": Corpus("EmoryNLP", "GPL-3.0"),  # labelled by feelings
    "goemotions": Corpus("GoEmotions", "Apache-2.0"),
    "cped": Corpus("CPED", "Apache-2.0", spoken=True, language="zh"),
    "ch_sims": Corpus("CH-SIMS v2", spoken=True, language="zh"),
    "smp2020": Corpus("SMP2020-EWECT", language="zh"),
    "reviews_zh": Corpus("Chinese reviews", language="zh"),
    **{f"xlmt_{code}": Corpus(f"XLM-T {code}", "Apache-2.0", language=code) for code in TWEETS},
}
# MOSI and SEMAINE have small validation parts, and EmoryNLP's viewers heard the voices.
JUDGED = (
    Judged("mosi", ("mosi",), (macro_f1,), 0.75),
    Judged("meld", ("meld",), (macro_f1, weighted_f1), 1.0),
    Judged("semaine", ("semaine",), (macro_f1,), 0.5),
    Judged("emorynlp", ("emorynlp",), (macro_f1,), 0.0),
    Judged("iemocap", ("iemocap",), (macro_f1,), 0.0),
    Judged("goemotions", ("goemotions",), (macro_f1,), 0.25),
    Judged("sst5", ("sst5",), (macro_f1,), 0.25),
    Judged("tweeteval", ("tweeteval",), (macro_recall,), 0.25),
    Judged("cped", ("cped",), (macro_f1,), 1.0),
    Judged("ch_sims", ("ch_sims",), (macro_f1,), 1.0),
    Judged("smp2020", ("smp2020",), (macro_f1,), 0.5),
    Judged("reviews_zh", ("reviews_zh",), (accuracy,), 0.0),  # it has two classes
    *(Judged(f"xlmt_{code}", (f"xlmt_{code}",), (macro_f1,), 0.2) for code in TWEETS),
)


def spoken_of(names: Collection[str]) -> list[str]:
    """Choose the corpora that calibrate: the spoken ones, or all if none is.

    >>> spoken_of(["mosi", "sst5", "meld"]), spoken_of(["sst5"])
    (['meld', 'mosi'], ['sst5'])
    """
    return [name for name, corpus in CORPORA.items() if corpus.spoken and name in names] or list(names)


def seen_of(names: Collection[str]) -> tuple[str, ...]:
    """Name the parts that teach an expert, or choose its epoch and temperature.

    >>> seen_of(["meld", "sst5"])
    ('sst5 train', 'sst5 val', 'meld train', 'meld val')
    """
    return tuple(f"{name} {part}" for name in CORPORA if name in names for part in ("train", "val"))


def licence_of(names: Collection[str]) -> str:
    """Tell under what licences an expert was trained.

    >>> licence_of(["sst5", "meld"])[:67]
    'weights trained on corpora for research use (SST-5) and MELD (GPL-3'
    """
    used = [CORPORA[name] for name in CORPORA if name in names]
    research = ", ".join(corpus.title for corpus in used if corpus.licence == _RESEARCH)
    parts = [f"corpora for {_RESEARCH} ({research})"] if research else []
    parts += [f"{corpus.title} ({corpus.licence})" for corpus in used if corpus.licence != _RESEARCH]
    return f"weights trained on {' and '.join(parts)}: check these before commercial use"


def validation_scores(
    labels: Mapping[str, IntArray], predicted: Mapping[str, IntArray]
) -> dict[str, float]:
    """Score validation parts by corpus; `score`, their weighted mean, chooses the epoch."""
    scores, total, weights = {}, 0.0, 0.0
    for judged in JUDGED:
        used = [name for name in judged.corpora if name in labels]
        if not used:
            continue
        truth = np.concatenate([labels[name] for name in used])
        answers = np.concatenate([predicted[name] for name in used])
        values = [metric(truth, answers) for metric in judged.metrics]
        for metric, value in zip(judged.metrics, values, strict=True):
            scores[f"{judged.name}_{metric.__name__}"] = value
        total, weights = total + judged.weight * values[0], weights + judged.weight
    return {**scores, "score": total / weights}
