"""The vocabulary: label maps, feature tables and the JSON of an analysis."""

from __future__ import annotations

import csv
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivalent.core.errors import FeatureError, UsageError
from trivalent.core.types import (
    LABELS,
    FeatureTable,
    LabelMap,
    Modality,
    Sentiment,
    Status,
    Utterance,
    map_scores,
    probabilities_array,
)

scores = st.fractions(-3, 3, max_denominator=60)


def table(rows: int = 4) -> FeatureTable:
    values = np.arange(3.0 * rows).reshape(rows, 3)
    return FeatureTable("demo", "1", ("a", "b", "c"), 0.5 * np.arange(rows), values, meta={"k": 1})


def test_codes_and_names() -> None:
    assert LABELS == ("negative", "neutral", "positive")
    assert [s.value for s in Sentiment] == [0, 1, 2]
    assert [str(m) for m in Modality] == ["text", "audio", "face"]


@given(st.lists(scores, min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_maps_follow_their_definitions(values: list[Fraction]) -> None:
    exact = [float(v) for v in values]
    assert map_scores(exact, "sign").tolist() == [(v > 0) - (v < 0) + 1 for v in exact]
    # Python's round() also sends ties to the even neighbour.
    nearest = [round(v) for v in exact]
    assert map_scores(exact, "round").tolist() == [(n > 0) - (n < 0) + 1 for n in nearest]
    banded = [0 if abs(v) <= Fraction(1, 6) else v for v in values]
    assert map_scores(exact, "band").tolist() == [(v > 0) - (v < 0) + 1 for v in banded]
    assert map_scores(exact, LabelMap.SEVEN).tolist() == [n + 3 for n in nearest]


@given(scores)
@settings(max_examples=50, deadline=None)
def test_maps_are_symmetric_and_monotone(value: Fraction) -> None:
    score = float(value)
    for rule, top in (("sign", 2), ("round", 2), ("band", 2), ("seven", 6)):
        here, there = map_scores([score, -score], rule)
        assert here + there == top
        assert (np.diff(map_scores(np.sort([score, 0.0, 1.0]), rule)) >= 0).all()


@pytest.mark.parametrize("bad", [3.01, -4.0, np.nan, np.inf])
def test_scores_outside_the_scale_are_refused(bad: float) -> None:
    with pytest.raises(UsageError, match=r"expected scores in \[-3, 3\]"):
        map_scores([0.0, bad], "sign")


def test_unknown_map() -> None:
    with pytest.raises(ValueError, match="thirds"):
        map_scores([0.0], "thirds")


def test_real_mosei_segments_by_sign(real_data: Path) -> None:
    with (real_data / "cmu_mosei" / "segments.csv").open(encoding="utf-8") as stream:
        rows = [r for r in csv.DictReader(stream) if r["clip_id"] != "-1"]
    assert len(rows) == 22856
    counted = {
        split: [
            Counter(
                map_scores(
                    [float(r["sentiment"]) for r in rows if r["split_mmsa"] == split], "sign"
                ).tolist()
            )[s]
            for s in Sentiment
        ]
        for split in {r["split_mmsa"] for r in rows}
    }
    assert sorted(counted.values()) == [[506, 433, 932], [1350, 1025, 2284], [4738, 3540, 8048]]


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None)
def test_named_probabilities_are_ordered(p: list[float]) -> None:
    named = dict(zip(LABELS, p, strict=True))
    assert probabilities_array(named).tolist() == p
    assert probabilities_array(dict(reversed(named.items()))).tolist() == p


def test_shape_and_reason_are_checked() -> None:
    with pytest.raises(FeatureError, match=r"expected values of shape \(2, 1\).*'demo' is at fault"):
        FeatureTable("demo", "1", ("a",), np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(FeatureError, match="expected a reason"):
        FeatureTable("demo", "1", ("a",), np.zeros(0), np.zeros((0, 1)), Status.MISSING)
    with pytest.raises(FeatureError, match="expected a reason"):
        FeatureTable("demo", "1", ("a",), np.zeros(0), np.zeros((0, 1)), Status.OK, "why")


def test_absent_table() -> None:
    empty = FeatureTable.absent("demo", "1", columns=["a", "b"], reason="nothing there")
    assert len(empty) == 0
    assert empty.values.shape == (0, 2)
    assert (empty.status, empty.reason, empty.meta) == (Status.MISSING, "nothing there", {})
    assert len(empty.select(["b"]).between(0, 9)) == 0


def test_select_and_column() -> None:
    chosen = table().select(["c", "a"])
    assert chosen.columns == ("c", "a")
    assert chosen.values[1].tolist() == [5.0, 3.0]
    assert table().column("b").tolist() == [1.0, 4.0, 7.0, 10.0]
    assert chosen.meta == {"k": 1}
    with pytest.raises(FeatureError, match="columns of demo, got unknown x, y; it has a, b, c"):
        table().select(["a", "x", "y"])


def test_between_is_half_open() -> None:
    part = table().between(0.5, 1.5)
    assert part.times.tolist() == [0.5, 1.0]
    assert part.values[:, 0].tolist() == [3.0, 6.0]


@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0, 10))
@settings(max_examples=40, deadline=None)
def test_between_parts_the_rows(times: list[float], cut: float) -> None:
    whole = FeatureTable("d", "1", ("a",), np.sort(times), np.zeros((len(times), 1)))
    assert len(whole.between(0, cut)) + len(whole.between(cut, 11)) == len(whole)


def test_valid_marks_what_was_computed() -> None:
    values = np.array([[1.0, np.nan], [np.inf, 0.0]])
    assert FeatureTable("d", "1", ("a", "b"), np.arange(2.0), values).valid.tolist() == [
        [True, False],
        [False, True],
    ]


def test_utterance_length() -> None:
    assert Utterance(0, 1.5, 4.0).duration_s == 2.5
