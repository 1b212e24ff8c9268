"""What the words of a recogniser count, and which of its marks are read."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles import experts
from trivalent.bundle.loading import Expert
from trivalent.core.types import LABELS, Modality, Utterance, Word
from trivalent.experts.text import as_heard, read_texts
from trivalent.lab.measure.evaluate import _seen_by_experts

EVERYDAY = Path(__file__).parents[1] / "benchmarks" / "everyday.csv"


def heard(text: str, probability: float | None = 0.9) -> Utterance:
    words = tuple(Word(word, i, i + 1.0, probability) for i, word in enumerate(text.split()))
    return Utterance(0, 0.0, float(len(words)), text, words)


@pytest.fixture(scope="module")
def expert() -> Expert:
    spec, graph = experts()[Modality.TEXT]
    return Expert(spec, lambda: graph, threads=1)


@pytest.mark.parametrize("mark", ["", ".", "!", "!!", "...", "…"])
def test_a_mark_that_nobody_heard_changes_nothing(expert: Expert, mark: str) -> None:
    (plain,) = read_texts(expert, [heard("Take it. Don't forget to check it.")])
    (marked,) = read_texts(expert, [heard(f"Take it{mark or '!'} Don't forget to check it{mark}")])
    assert plain.opinion is not None
    assert marked.opinion is not None
    np.testing.assert_array_equal(plain.opinion.probabilities, marked.opinion.probabilities)


@given(
    st.lists(st.sampled_from(["so", "why", "3.5", "table"]), min_size=1), st.sampled_from(["!", "?", "."])
)
def test_reading_marks_again_changes_nothing(words: list[str], mark: str) -> None:
    once = as_heard(heard(" ".join(words) + mark))
    assert as_heard(heard(once)) == once
    assert once.split()[:-1] == words[:-1]
    assert once.endswith("?" if mark == "?" and "why" in words else ".")


def test_what_a_person_wrote_is_read_as_it_stands() -> None:
    for utterance in (heard("Stop! Now", None), Utterance(0, 0, 0, "Stop! Now")):
        assert as_heard(utterance) == "Stop! Now"


def test_unsure_words_count_less(expert: Expert) -> None:
    found = [read_texts(expert, [heard("a plain text", p)])[0].opinion for p in (0.2, 0.5, 0.8, 1.0, None)]
    counts = [opinion.reliability for opinion in found if opinion is not None]
    assert counts == sorted(counts)
    assert counts[0] < 0.1
    assert counts[-3:] == [1, 1, 1]


def test_an_evaluation_tells_what_the_experts_have_seen() -> None:
    spec, graph = experts()[Modality.TEXT]
    taught = Expert(replace(spec, seen=("meld train", "meld val", "sst5 train")), lambda: graph, threads=1)
    silent = Expert(spec, lambda: graph, threads=1)

    def told(expert: Expert, table: str) -> list[str]:
        return _seen_by_experts(
            SimpleNamespace(experts={Modality.TEXT: expert}), SimpleNamespace(name=table)
        )

    (caveat,) = told(taught, "my.csv")
    assert "the text expert has seen meld train, meld val, sst5 train" in caveat
    (caveat,) = told(taught, "MELD_dev.csv")
    assert caveat.startswith(
        "the table is named after meld, and the text expert has seen meld train, meld val:"
    )
    assert told(silent, "meld.csv") == []


def test_everyday_sentences_are_sound() -> None:
    with EVERYDAY.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["text"] for row in rows}) == len(rows) == 60
    assert {row["sentiment"] for row in rows} == set(LABELS)
