"""Deciding again gives what the analyzer would have given, without running a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analyses as factory
from bundles import write_bundle
from trivalent import Analyzer
from trivalent.bundle.graphs import Graph
from trivalent.bundle.loading import Bundle, Expert, load_bundle
from trivalent.core.analysis import Analysis, KeyFrame, Model, Source, Track
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, InputError, UsageError
from trivalent.core.types import Modality, Status, Utterance
from trivalent.experts.judge import ONLY_PRIOR, Judge
from trivalent.experts.readings import Reading
from trivalent.experts.redecide import redecide

SAMPLE = DATA / "samples" / "sample.mp4"
THRESHOLDS = (0.01, 0.99, 0.99)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Graph) -> None:
        raise AssertionError("a graph was loaded")

    monkeypatch.setattr(Graph, "_session", property(refuse))


def decided(analysis: Analysis) -> dict[str, Any]:
    """All but what tells about the first run."""
    data = analysis.to_dict()
    return {key: data[key] for key in ("source", "model", "overall", "utterances")}


# -- the same as the analyzer -------------------------------------------------------------


def test_by_default_nothing_changes(sample: Analysis, no_models: None) -> None:
    stored = Analysis.from_dict(json.loads(json.dumps(sample.to_dict())), sample.extras_to_dict())
    for analysis in (sample, stored):
        again = redecide(analysis, load_bundle("default"))
        assert again.to_dict() == sample.to_dict()
        assert again.extras_to_dict() == sample.extras_to_dict()


@pytest.mark.parametrize("modalities", [["text"], ["face"], ["text", "audio"]], ids="+".join)
def test_fewer_modalities(sample: Analysis, modalities: list[str]) -> None:
    analyzer = Analyzer(modalities=modalities)
    again = redecide(sample, analyzer.bundle, modalities=modalities)
    assert decided(again) == decided(analyzer.analyze(SAMPLE))
    off = again.utterances[0].modalities[next(m for m in Modality if m not in modalities)]
    assert (off.status, off.reason, off.probabilities, off.weight) == (Status.OFF, "switched off", None, 0)


def test_thresholds_and_confidence(sample: Analysis) -> None:
    analyzer = Analyzer(thresholds=THRESHOLDS, min_confidence=0.9)
    again = redecide(sample, analyzer.bundle, thresholds=THRESHOLDS, min_confidence=0.9)
    assert decided(again) == decided(analyzer.analyze(SAMPLE))
    assert {u.verdict.label for u in again.utterances} == {"negative"}
    assert again.overall.abstained


def test_a_text() -> None:
    analyzer = Analyzer()
    analysis = analyzer.analyze_text("The meeting starts at three. I hate it.")
    assert redecide(analysis, analyzer.bundle).to_dict() == analysis.to_dict()
    again = redecide(analysis, analyzer.bundle, modalities=["text", "face"])
    assert decided(again)["overall"] == decided(analysis)["overall"]
    assert [again.utterances[0].modalities[m].status for m in Modality] == ["ok", "off", "missing"]


# -- any readings -------------------------------------------------------------------------

PROBABILITIES = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(
    lambda p: (np.array(p) + 1e-9) / (np.array(p) + 1e-9).sum()
)
SPOKEN = st.tuples(PROBABILITIES, st.floats(0, 1))
SILENT = st.sampled_from([Status.MISSING, Status.FAILED])
MIXES = PROBABILITIES.map(lambda p: tuple((p + 0.01) / (p + 0.01).sum()))
TERMS = st.fixed_dictionaries(
    {
        "thresholds": st.none() | st.tuples(*[st.floats(0.01, 1)] * 3),
        "min_confidence": st.none() | st.floats(0, 1),
        "prior": st.none() | MIXES,
    }
)
SUBSETS = st.sets(st.sampled_from(list(Modality)))


def reading(drawn: Any, expert: Expert) -> Reading:
    if isinstance(drawn, Status):
        return Reading.absent("nothing there", status=drawn)
    return Reading(Status.OK, None, expert.opinion(drawn[0], drawn[1]), {"words": 3.0})


def judged(judge: Judge, drawn: list[dict[Modality, Any]]) -> Analysis:
    """Decide as the analyzer does, of those modalities alone that the judge lets count."""
    bundle = judge.bundle
    results = [
        judge.utterance(
            Utterance(i, 2.0 * i, 2.0 * i + 1, "words"),
            {m: reading(d[m], bundle.experts[m]) for m in judge.modalities},
        )
        for i, d in enumerate(drawn)
    ]
    overall, notes = judge.overall(results)
    model = Model(bundle.name, bundle.version, bundle.sha256)
    source, warnings = Source("a.mp4", "video", 9.0), ("a note", *notes)
    return Analysis(source, model, overall, tuple(results), warnings, decided_with=judge.terms)


@settings(deadline=None)
@given(
    st.lists(st.fixed_dictionaries({m: SPOKEN | SILENT for m in Modality}), min_size=1, max_size=4),
    SUBSETS,
    TERMS,
    TERMS,
)
def test_of_any_readings(tiny: Bundle, drawn, modalities, terms, others) -> None:
    """What is not chosen anew stays as the analysis was decided with."""
    first = judged(Judge.of(tiny, **terms), drawn)
    stored = Analysis.from_dict(json.loads(json.dumps(first.to_dict())))
    assert redecide(stored, tiny).to_dict() == first.to_dict()
    both = {name: terms[name] if chosen is None else chosen for name, chosen in others.items()}
    again = redecide(stored, tiny, modalities=modalities, **others)
    assert again.to_dict() == judged(Judge.of(tiny, modalities=modalities, **both), drawn).to_dict()


def test_a_document_that_does_not_say_is_decided_as_the_bundle_does(tiny: Bundle) -> None:
    spoken = dict.fromkeys(Modality, (np.array([0.1, 0.1, 0.8]), 1.0))
    first = judged(Judge.of(tiny), [spoken])
    old = Analysis.from_dict({k: v for k, v in first.to_dict().items() if k != "decided_with"})
    assert old.decided_with is None
    assert redecide(old, tiny).to_dict() == first.to_dict()


@pytest.mark.parametrize("modalities", [[], ["face"]])
def test_where_nothing_is_left_the_prior_abstains(tiny: Bundle, modalities: list[str]) -> None:
    spoken = (np.array([0.1, 0.1, 0.8]), 1.0)
    drawn = [{Modality.TEXT: spoken, Modality.AUDIO: spoken, Modality.FACE: Status.MISSING}]
    again = redecide(judged(Judge.of(tiny), drawn), tiny, modalities=modalities)
    np.testing.assert_allclose(again.overall.probabilities, tiny.fusion.prior)
    assert again.overall.abstained
    assert again.utterances[0].verdict.abstained
    assert again.warnings == ("a note", ONLY_PRIOR)


def test_what_rested_on_nothing_still_says_so_once(tiny: Bundle) -> None:
    first = judged(Judge.of(tiny), [dict.fromkeys(Modality, Status.MISSING)])
    assert redecide(first, tiny).warnings == ("a note", ONLY_PRIOR)


def test_a_class_that_the_bundle_never_expects_stays_so(tiny: Bundle) -> None:
    """Users may not rule a class out; a bundle may, and what it decided is decided again."""
    bundle = replace(tiny, fusion=tiny.fusion.expecting(np.array([0.0, 0.5, 0.5])))
    first = judged(Judge.of(bundle), [dict.fromkeys(Modality, (np.array([0.1, 0.1, 0.8]), 1.0))])
    assert redecide(first, bundle).to_dict() == first.to_dict()


# -- refusals -----------------------------------------------------------------------------


def test_another_bundle_is_refused(tiny: Bundle) -> None:
    with pytest.raises(BundleError, match="sha256 9f2c7d1ab0e8"):
        redecide(factory.video(), tiny)


def test_an_older_document_is_refused(tiny: Bundle) -> None:
    """It does not say how reliable its opinions were; 1 would be a guess."""
    data = replace(factory.video(), model=Model("tiny", "7", tiny.sha256)).to_dict()
    for u in data["utterances"]:
        for e in u["modalities"].values():
            del e["reliability"]
    old = Analysis.from_dict(data)
    assert old.to_dict()["utterances"][0]["modalities"]["text"]["reliability"] is None
    with pytest.raises(InputError, match="earlier version"):
        redecide(old, tiny)


def test_a_modality_that_was_not_analysed_is_refused(tiny: Bundle) -> None:
    spoken = dict.fromkeys(Modality, (np.array([0.1, 0.1, 0.8]), 1.0))
    first = judged(Judge.of(tiny, modalities=["text", "face"]), [spoken])
    assert redecide(first, tiny).to_dict() == first.to_dict()
    with pytest.raises(UsageError, match="got audio, which was switched off"):
        redecide(first, tiny, modalities=["text", "audio"])


@pytest.mark.parametrize(
    "choice",
    [
        {"modalities": ["smell"]},
        {"thresholds": (0.5, 0.5)},
        {"min_confidence": 2},
        {"prior": (0.5, 0.5, 0.5)},
    ],
)
def test_impossible_choices(tiny: Bundle, choice: dict[str, Any]) -> None:
    first = judged(Judge.of(tiny), [dict.fromkeys(Modality, Status.MISSING)])
    with pytest.raises(UsageError):
        redecide(first, tiny, **choice)


def test_a_modality_that_the_bundle_lacks(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path, modalities=["text"]))
    first = judged(Judge.of(bundle), [{Modality.TEXT: (np.array([0.1, 0.1, 0.8]), 1.0)}])
    reason = "the bundle 'tiny' has no face expert"
    assert redecide(first, bundle).utterances[0].modalities[Modality.FACE].reason == reason
    with pytest.raises(UsageError, match="has no face"):
        redecide(first, bundle, modalities=["face"])


# -- the two documents of an analysis -----------------------------------------------------

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def columns(n: int) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    times, values = st.lists(NUMBERS, min_size=n, max_size=n), st.floats(allow_infinity=False)
    return st.tuples(times, st.lists(values, min_size=n, max_size=n))


TRACKS = st.builds(
    lambda name, columns: Track(*name, *map(np.array, columns)),
    st.sampled_from([("F0", "Hz"), ("energy", "dB")]),
    st.integers(1, 9).flatmap(columns),
)
KEYFRAMES = st.builds(
    KeyFrame, NUMBERS, st.integers(0), st.binary(), st.dictionaries(st.text(), NUMBERS, max_size=3)
)


@settings(deadline=None)
@given(st.lists(KEYFRAMES, max_size=3), st.lists(TRACKS, max_size=2))
def test_extras_round_trip(keyframes: list[KeyFrame], tracks: list[Track]) -> None:
    first = replace(factory.video(), keyframes=tuple(keyframes), tracks=tuple(tracks))
    written = json.dumps(first.extras_to_dict(), allow_nan=False)
    back = Analysis.from_dict(json.loads(json.dumps(first.to_dict())), json.loads(written))
    assert [vars(k) for k in back.keyframes] == [vars(k) for k in keyframes]
    for a, b in zip(back.tracks, tracks, strict=True):
        assert (a.name, a.unit) == (b.name, b.unit)
        np.testing.assert_array_equal(a.times_s, b.times_s)
        np.testing.assert_array_equal(a.values, b.values)
    assert back.to_dict() == first.to_dict()


def test_pictures_and_tracks_stay_out_of_the_first_document() -> None:
    data = factory.video().to_dict()
    named = {"schema", "source", "model", "decided_with", "overall", "utterances", "warnings", "timing"}
    assert set(data) == named
    assert Analysis.from_dict(data).keyframes == ()
    assert Analysis.from_dict(data, {}).tracks == ()
