"""A network in the app: chosen, told, asked, and decided again, as any other model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import analyses
from recording_networks import recording_bundle
from test_web_pages import Site, said
from trivalent import Analyzer
from trivalent.bundle.decision import DecisionKind, DecisionRule, ratio
from trivalent.bundle.loading import load_bundle
from trivalent.bundle.shelf import folder_of
from trivalent.core.analysis import Analysis, Model
from trivalent.core.settings import Settings
from trivalent.core.types import Modality
from trivalent.lab.bundles import write_bundle
from trivalent.store import Store, open_store
from trivalent.web import state
from trivalent.web.views.model_told import told
from web_app import button, data_of, open_app

METRICS = {
    "validation": {"ensemble": {"n": 40, "figures": {"macro_f1": {"value": 0.5}, "ece": {"value": 0.1}}}},
    "test": {"ensemble": {"n": 1200, "figures": {"macro_f1": {"value": 0.4321}}, "classes": "hostile"}},
}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield Settings(home=tmp_path / "home", threads=1)
    state.close_all()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


def shown(monkeypatch: Any, settings: Settings, store: Store, analysis: Analysis) -> tuple[AppTest, str]:
    record = store.history(store.accounts.local_user()).add(analysis)
    return open_app(monkeypatch, settings, record=record.id), record.id


def analysed(settings: Settings, rule: DecisionRule | None = None) -> Analysis:
    """Make an analysis that an added network might have made."""
    where = recording_bundle(folder_of(settings.home) / "joined", rule=rule)
    bundle = load_bundle(where)
    return replace(analyses.network(), model=Model(bundle.name, bundle.version, bundle.sha256))


def test_a_text_is_judged_without_words_to_explain(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    recording_bundle(folder_of(settings.home) / "joined", (Modality.TEXT, Modality.AUDIO))
    page = open_app(monkeypatch, settings)
    page.session_state["model"] = "joined"
    page.run()
    switches = next(g for g in page.button_group if str(g.key).startswith("file-modalities"))
    assert switches.value == ["text", "audio"]  # those that the model has
    page.text_area(key="text").set_value("I love this, it is wonderful.")
    button(page, "analyze-text").click().run()
    assert not page.exception
    drawn = data_of(page, "player")["transcript"]
    assert "tv-words" not in drawn
    assert "Not excluded: " in drawn


def test_where_an_expert_read_the_words_they_are_explained(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page, _ = shown(monkeypatch, settings, store, Analyzer("fast").analyze_text("I love this."))
    assert "tv-words" in data_of(page, "player")["transcript"]


def test_attention_stands_beside_the_evidence(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page, _ = shown(monkeypatch, settings, store, analysed(settings))
    player = data_of(page, "player")
    assert player["transcript"].count("tv-attention") == len(analyses.network().utterances)
    assert "not what decided" in player["transcript"]
    assert "share of all that the channels changed" in player["timeline"]
    assert not page.exception


@pytest.mark.parametrize(
    ("rule", "told_so"),
    [
        (DecisionRule(), "takes the most probable class"),
        (DecisionRule(DecisionKind.THRESHOLD, (0.15,)), "says negative from 15 % on"),
        (ratio((0.2, 0.5, 0.3)), ""),
    ],
    ids=["argmax", "threshold", "ratio"],
)
def test_rules_of_any_kind_are_decided_again(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, rule: DecisionRule, told_so: str
) -> None:
    page, key = shown(monkeypatch, settings, store, analysed(settings, rule))
    captions = " ".join(c.value for c in page.caption)
    assert told_so in captions
    assert ("This model" in captions) == bool(told_so)
    stands = [page.slider(key=f"threshold-{label}-{key}").value for label in ("negative", "positive")]
    assert stands == ([0.33, 0.33] if told_so else [0.2, 0.3])
    assert button(page, f"reset-{key}").disabled
    page.slider(key=f"confidence-{key}").set_value(0.9).run()
    assert not page.exception
    first = page.slider(key=f"threshold-positive-{key}").set_value(0.01).run()
    assert "Decided with your settings" in first.caption[0].value
    switches = next(g for g in page.button_group if g.key == f"modalities-{key}")
    switches.set_value(["audio"]).run()
    assert not page.exception
    assert "tv-attention" not in data_of(page, "player")["transcript"]
    button(page, f"reset-{key}").click().run()
    assert "tv-attention" in data_of(page, "player")["transcript"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "home", monkeypatch)
    yield made
    made.store.close()
    state.close_all()


@pytest.mark.parametrize("chinese", [False, True])
def test_its_card_and_its_guide(site: Site, chinese: bool) -> None:
    where = recording_bundle(folder_of(site.settings.home) / "joined")
    found = load_bundle(where)
    (where / "bundle.json").unlink()
    write_bundle(
        where,
        name="joined",
        experts={},
        fusion=found.fusion,
        decision=found.decision,
        card={"title": "made up", "limits": "none are known"},
        metrics=METRICS,
        graphs={p.name: p.read_bytes() for p in where.glob("*.onnx")},
    )
    text = said(site.page("models", chinese=chinese))
    for words in ("made up", "covarep", "384", "0.432", "1,200", "CC0"):
        assert words in text
    site.configure(model="joined")
    assert "none are known" in said(site.page("guide", chinese=chinese))


def test_what_anybody_wrote_as_figures_is_passed_over(tmp_path: Path) -> None:
    where = recording_bundle(tmp_path / "b")
    for recorded in (None, 3, {"ensemble": ["x"]}, {"ensemble": {"figures": "x"}}):
        bundle = replace(load_bundle(where), metrics={"test": recorded})
        assert told(bundle).figures[1] == []
