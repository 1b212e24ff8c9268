"""The result of an analysis is defined once: JSON, what is refused, description, tables, database."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, Double, Integer

import analyses as factory
from conftest import REPOSITORY
from trivalent.core.analysis import (
    EXTRAS,
    KINDS,
    MIXED_BY,
    ROW_TYPES,
    STAGES,
    SUMMARY,
    Analysis,
    Evidence,
    KeyFrame,
    Model,
    Overall,
    Source,
    Terms,
    Timing,
    Track,
    UtteranceResult,
    Verdict,
)
from trivalent.core.errors import SchemaError
from trivalent.core.schema import json_schema
from trivalent.core.types import LABELS, Modality, Status
from trivalent.service.documents import components
from trivalent.service.schemas import RecordOut
from trivalent.store import Record
from trivalent.store.mapping import KEPT
from trivalent.store.schema import AnalysisRow

sys.path.insert(0, str(REPOSITORY / "tools"))
from analysis_docs import PAGE, page

Path = tuple[str | int, ...]
VALIDATOR = jsonschema.Draft202012Validator(Analysis.json_schema())
KINDS_OF_VALUES: list[Any] = [None, True, "text", 0.5, 7, [], ["text"], {}, {"text": "text"}]

# -- any analysis -------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHARES = st.floats(0, 1)
WORDS = st.text(max_size=5)
NAMES = st.text("abc_", min_size=1, max_size=5)


def vectors(low: float) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(low, 1), min_size=3, max_size=3).map(np.array)


VERDICTS = st.builds(Verdict, st.sampled_from(LABELS), SHARES, vectors(0), abstained=st.booleans())
OVERALL = st.builds(
    Overall,
    st.sampled_from(LABELS),
    SHARES,
    vectors(0),
    abstained=st.booleans(),
    shares=st.none() | vectors(0),
    mixed_by=st.none() | st.sampled_from(MIXED_BY),
)
EVIDENCE = st.builds(
    Evidence,
    st.sampled_from(Status),
    st.none() | WORDS,
    st.none() | vectors(0),
    SHARES,
    st.none() | vectors(-1),
    st.dictionaries(NAMES, FINITE | st.integers(), max_size=2),
    reliability=st.none() | SHARES,
)
UTTERANCES = st.builds(
    UtteranceResult,
    st.integers(0, 99),
    FINITE,
    FINITE,
    WORDS,
    VERDICTS,
    st.dictionaries(st.sampled_from(Modality), EVIDENCE),
    conflict=st.floats(0, 1.5),
    mixed=st.booleans(),
)
TIMINGS = st.builds(
    Timing,
    st.dictionaries(st.sampled_from([*STAGES, "hands"]), st.floats(0, 9)),
    total_s=st.floats(0, 99),
    realtime_factor=st.none() | FINITE,
)
CURVES = st.lists(FINITE | st.just(np.nan), max_size=3).map(lambda x: np.array(x, dtype=np.float64))
ANALYSES = st.builds(
    Analysis,
    st.builds(Source, WORDS, st.sampled_from(KINDS), st.none() | FINITE),
    st.builds(Model, WORDS, WORDS, WORDS),
    OVERALL,
    st.lists(UTTERANCES, max_size=2).map(tuple),
    st.lists(WORDS, max_size=2).map(tuple),
    TIMINGS,
    st.lists(
        st.builds(KeyFrame, FINITE, st.integers(), st.binary(), st.dictionaries(NAMES, FINITE, max_size=2)),
        max_size=2,
    ).map(tuple),
    st.lists(st.builds(Track, WORDS, WORDS, CURVES, CURVES), max_size=2).map(tuple),
    decided_with=st.none() | st.builds(Terms, vectors(0), st.none() | vectors(0), SHARES),
)


def through_json(document: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return again


@settings(deadline=None, max_examples=60)
@given(ANALYSES)
def test_what_is_written_is_read(analysis: Analysis) -> None:
    document, extras = analysis.to_dict(), analysis.extras_to_dict()
    back = Analysis.from_dict(through_json(document), through_json(extras))
    assert json.dumps(back.to_dict()) == json.dumps(document)  # the order of keys, too
    assert back.extras_to_dict() == extras
    assert (back.source, back.model, back.timing) == (analysis.source, analysis.model, analysis.timing)
    VALIDATOR.validate(document)


def places(data: Any, path: Path = ()) -> Iterator[Path]:
    """Every place of a document."""
    yield path
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def told(path: Path) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def changed(document: dict[str, Any], path: Path, change: Any) -> dict[str, Any]:
    """Copy a document with another value at a place, or without it."""
    document = copy.deepcopy(document)
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    if change is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = change
    return document


@settings(deadline=None, max_examples=300)
@given(ANALYSES, st.data())
def test_a_single_change_is_refused_where_the_json_schema_refuses_it(analysis: Analysis, data: Any) -> None:
    document = through_json(analysis.to_dict())
    path = data.draw(st.sampled_from([p for p in places(document) if p]))
    changes = KINDS_OF_VALUES if isinstance(path[-1], int) else [*KINDS_OF_VALUES, ...]
    broken = changed(document, path, data.draw(st.sampled_from(changes)))
    if VALIDATOR.is_valid(broken):
        assert Analysis.from_dict(broken).to_dict()
    else:
        with pytest.raises(SchemaError) as refused:
            Analysis.from_dict(broken)
        assert f" at {told(path)}" in str(refused.value)


@pytest.mark.parametrize("part", ["document", "extras"])
def test_every_place_of_another_type_is_refused(part: str) -> None:
    """Told apart from the description: what is an object becomes a text, all else an object."""
    whole = {"document": factory.video().to_dict(), "extras": extras()}
    assert Analysis.from_dict(*whole.values()).tracks
    for path in places(whole[part]):
        if path and path[-1:] != (1,):  # the second of a list is like the first
            value = whole[part]
            for key in path:
                value = value[key]
            change = "text" if isinstance(value, dict) else {"text": 1}
            with pytest.raises(SchemaError) as refused:
                Analysis.from_dict(*{**whole, part: changed(whole[part], path, change)}.values())
            assert f" at {told(path).removesuffix('s[0]')}" in str(refused.value)


def extras() -> dict[str, Any]:
    track = {"name": "F0", "unit": "Hz", "times_s": [0.0], "values": [None]}
    return {"keyframes": factory.video().extras_to_dict()["keyframes"][:1], "tracks": [track]}


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (("schema",), "trivalent.analysis/2", "expected 'trivalent.analysis/1' at schema"),
        (("schema",), ..., "expected a value at schema, got nothing"),
        (("source", "kind"), "smell", "expected one of video, audio, text at source.kind, got 'smell'"),
        (("overall", "confidence"), 1.5, "expected a number from 0 to 1 at overall.confidence, got 1.5"),
        (("utterances", 0, "index"), -1, "expected a number of at least 0 at utterances[0].index, got -1"),
        (("utterances", 0, "index"), 0.0, "expected a whole number at utterances[0].index, got 0.0"),
        (
            ("utterances", 0, "modalities"),
            {"smell": {}},
            "one of text, audio, face at utterances[0]",
        ),
        (("timing", "face_s"), True, "expected a number at timing.face_s, got True"),
    ],
    ids=lambda x: told(x) if isinstance(x, tuple) else None,
)
def test_refusals_name_the_place(path: Path, change: Any, message: str) -> None:
    with pytest.raises(SchemaError) as refused:
        Analysis.from_dict(changed(factory.video().to_dict(), path, change))
    assert message in str(refused.value)


def test_what_is_no_document_is_refused() -> None:
    for data in ([], "text", None, 3):
        with pytest.raises(SchemaError, match="expected an object at the top"):
            Analysis.from_dict(data)  # type: ignore[arg-type]


def test_documents_of_other_versions_are_read() -> None:
    """An older one lacks what was added since; a newer one has keys that nobody here knows."""
    document = factory.video().to_dict()
    older, newer = copy.deepcopy(document), copy.deepcopy(document)
    for key in ("valence", "shares", "mixed", "mixed_by"):
        del older["overall"][key]
    for utterance in older["utterances"]:
        del utterance["valence"]
        for evidence in utterance["modalities"].values():
            del evidence["reliability"]
    read = Analysis.from_dict(older)
    assert read.utterances[0].modalities[Modality.TEXT].reliability is None
    assert read.overall.valence == pytest.approx(0.6)  # follows from what was kept
    assert (read.overall.shares, read.overall.mixed) == (None, False)
    for path in places(document):
        parent: Any = newer
        for key in path:
            parent = parent[key]
        if isinstance(parent, dict) and path[-1:] not in [("modalities",), ("quality",)]:
            parent["later"] = {"more": 1}
    VALIDATOR.validate(newer)
    assert Analysis.from_dict(newer).to_dict() == document


def test_another_stage_needs_no_field() -> None:
    timing = Timing({"hands": 1.5, "text": 0.5}, total_s=2.0)
    assert timing.stages == {**dict.fromkeys(STAGES, 0.0), "text": 0.5, "hands": 1.5}
    document = factory.text().to_dict()
    document["timing"] = {"hands_s": 1.5, "total_s": 2.0, "realtime_factor": None}
    again = Analysis.from_dict(document).to_dict()["timing"]
    assert again == {**{f"{stage}_s": 0.0 for stage in STAGES}, **document["timing"]}


# -- its other spellings ------------------------------------------------------------------


def test_the_page_is_what_is_defined() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/analysis_docs.py"


def test_the_page_has_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    documents = (factory.video().to_dict(), extras())
    keys = {p[-1] for d in documents for p in places(d) if p and isinstance(p[-1], str)}
    free = {k for u in documents[0]["utterances"] for e in u["modalities"].values() for k in e["quality"]}
    free |= {k for frame in documents[1]["keyframes"] for k in frame["expressions"]}
    assert not {k for k in keys - free if f"`{k}`" not in text}


def test_both_schemas_are_valid() -> None:
    for schema in (Analysis.json_schema(), json_schema(EXTRAS)):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_service_describes_what_is_defined() -> None:
    described = components()
    assert set(described) >= {"AnalysisDocument", "UtteranceOut", "EvidenceOut", "OverallOut", "SourceOut"}
    whole = {"$ref": "#/components/schemas/AnalysisDocument", "components": {"schemas": described}}
    validator = jsonschema.Draft202012Validator(whole)
    for make in factory.ALL.values():
        document = make().to_dict()
        validator.validate(document)
        assert not validator.is_valid({**document, "overall": None})


def test_the_columns_have_the_types_of_their_cells() -> None:
    kinds = {"string": str, "double": int | float, "int64": int, "bool": bool}
    for make in factory.ALL.values():
        analysis = make()
        for row in analysis.rows():
            assert list(row) == list(ROW_TYPES)
            assert all(v is None or isinstance(v, kinds[ROW_TYPES[k]]) for k, v in row.items())
        row = SUMMARY.row(analysis.to_dict())
        assert all(v is None or isinstance(v, kinds[SUMMARY.types[k]]) for k, v in row.items())
        assert row["utterances"] == len(analysis.utterances)
        assert row["warnings"] == "; ".join(analysis.warnings)


def test_a_frame_has_the_types_of_the_columns() -> None:
    numbers = {"double": "float64", "int64": "int64", "bool": "bool"}
    for analysis in (factory.text(), factory.video()):
        frame = analysis.to_frame()
        assert list(frame) == list(ROW_TYPES)
        assert {k: str(frame[k].dtype) for k, t in ROW_TYPES.items() if t in numbers} == {
            k: numbers[t] for k, t in ROW_TYPES.items() if t in numbers
        }


def test_the_database_keeps_what_is_listed_as_it_is_defined() -> None:
    columns = AnalysisRow.__table__.columns
    types = {"double": Double, "int64": Integer, "bool": Boolean}
    for name, kind in KEPT.types.items():
        expected = JSON if name == "probabilities" else types.get(kind)
        assert expected is None or isinstance(columns[name].type, expected)
        assert columns[name].nullable == (name in ("duration_s", "mixed_by"))
    assert set(KEPT.places) < {f.name for f in fields(Record)} == set(RecordOut.model_fields)
