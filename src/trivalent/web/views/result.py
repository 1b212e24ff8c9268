"""One analysis in full: verdict, evidence, timeline, transcript; decided again at will."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from trivalent.bundle.loading import Expert
from trivalent.core.analysis import Analysis
from trivalent.core.errors import TrivalentError
from trivalent.core.types import Modality
from trivalent.experts.occlusion import WordEffect, word_effects
from trivalent.media.kinds import played_as
from trivalent.report.renderer import esc
from trivalent.report.wording import seconds_words
from trivalent.store import Record
from trivalent.web import state, submission
from trivalent.web.components import component
from trivalent.web.i18n import t, wording
from trivalent.web.views import decide, downloads
from trivalent.web.views.drawing import renderer
from trivalent.web.views.notices import show_error
from trivalent.web.views.transcript import page_of, pages, transcript
from trivalent.web.views.when import when
from trivalent.web.views.word_effects import word_map

LOADED = 3  # analyses that a session keeps at hand


def show_result(record: Record) -> None:
    """Show an analysis of the current user, with its recording where it is still there.

    Parameters
    ----------
    record : Record
        From the user's own history.
    """
    recording, stored = submission.recording(record), _load(record.id)
    if recording is not None and not stored.keyframes:
        stored = replace(stored, keyframes=state.services().frames.of(record.id))
    _result(record, stored, recording)


def _load(record_id: str) -> Analysis:
    """Fetch an analysis of the current user, or the copy that this session has just fetched."""
    loaded: OrderedDict[str, Analysis] = st.session_state.setdefault("loaded", OrderedDict())
    if record_id not in loaded:
        loaded[record_id] = state.history().analysis(record_id)
        while len(loaded) > LOADED:
            loaded.popitem(last=False)
    return loaded[record_id]


@st.fragment
def _result(record: Record, stored: Analysis, media: Path | None) -> None:
    head = st.container(horizontal=True, vertical_alignment="center", key="tv-head")
    verdict, below = st.container(), st.container()
    with st.container(border=True, key="tv-decide"):
        analysis, changed = decide.decided_again(stored, key=record.id)
    with head:
        st.html(_head(record, stored))
        downloads.buttons(record, analysis)
    verdict.html(renderer().verdict(analysis))
    if notes := renderer().warnings(analysis):
        below.html(notes)
    if changed:
        below.caption(f":material/tune: {t('result.changed_note')}")
    _evidence(record, analysis, media)


def _head(record: Record, analysis: Analysis) -> str:
    model = t("result.model", name=analysis.model.name, version=analysis.model.version)
    facts = [wording().source(analysis), when(record.created), model]
    if analysis.timing.total_s > 0:
        facts.append(t("result.took", time=seconds_words(analysis.timing.total_s)))
    line = "".join(f"<span>{esc(fact)}</span>" for fact in facts)
    name = f'<h2 dir="auto">{esc(record.name)}</h2>'
    return f'<header class="tv-head">{name}<p class="tv-facts">{line}</p></header>'


def _evidence(record: Record, analysis: Analysis, media: Path | None) -> None:
    key, draw = f"player-{record.id}", renderer()
    page = min(st.session_state.get(f"page-{record.id}", 0), pages(analysis) - 1)
    component("player")(
        key=key,
        data={
            "media": _media(media, analysis),
            "timeline": draw.timeline(analysis, heard=_media(media, analysis) is not None),
            "frames": draw.moments(analysis),
            "transcript": transcript(analysis, draw, page=page, explained=_reader(analysis) is not None),
            "words": _words(record.id, analysis),
            "reveal": st.session_state.get(f"reveal-{record.id}"),
        },
        on_words_change=lambda: _explain(key, record.id, analysis),
        on_reveal_change=lambda: _turn_to(key, record.id, analysis),
    )
    if reason := _unheard(media, analysis):
        st.caption(f":material/volume_off: {reason}")
    if pages(analysis) > 1:
        _pager(record.id, page, pages(analysis))


def _pager(record_id: str, page: int, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
        for step, icon, off in ((-1, "chevron_left", page == 0), (1, "chevron_right", page == count - 1)):
            if step == 1:
                st.caption(t("result.page", page=page + 1, count=count), width="content")
            st.button(
                t("result.page_back" if step == -1 else "result.page_on"),
                icon=f":material/{icon}:",
                disabled=off,
                key=f"page{step}-{record_id}",
                on_click=_set_page,
                args=(record_id, page + step),
            )


def _set_page(record_id: str, page: int) -> None:
    st.session_state[f"page-{record_id}"] = page


def _media(path: Path | None, analysis: Analysis) -> dict[str, Any] | None:
    if path is None or analysis.source.kind == "text" or played_as(path) is None:
        return None
    return {
        "url": state.media_url(path),
        "kind": "video" if analysis.source.kind == "video" else "audio",
        "label": analysis.source.name,
        "unplayable": t("result.unplayable"),
    }


def _unheard(path: Path | None, analysis: Analysis) -> str:
    """Say why there is no player; nothing where there is one, or for a text."""
    if analysis.source.kind == "text" or (path is not None and played_as(path) is not None):
        return ""
    return t("result.not_kept") if path is None else t("result.no_player", suffix=path.suffix)


def _explained(record_id: str) -> dict[int, tuple[WordEffect, ...]]:
    found: dict[int, tuple[WordEffect, ...]] = st.session_state.setdefault(f"explained-{record_id}", {})
    return found


def _words(record_id: str, analysis: Analysis) -> dict[str, str]:
    """Markup of the utterances whose words were asked for."""
    texts = {u.index: u.text for u in analysis.utterances}
    return {
        str(i): word_map(texts[i], effects) for i, effects in _explained(record_id).items() if i in texts
    }


def _explain(key: str, record_id: str, analysis: Analysis) -> None:
    """Find out which words of an utterance matter; a callback of the component."""
    index = st.session_state[key].get("words")
    utterance = next((u for u in analysis.utterances if u.index == index), None)
    if utterance is None or not utterance.text.strip() or index in _explained(record_id):
        return
    reader = _reader(analysis)
    if reader is None:
        return
    try:
        _explained(record_id)[utterance.index] = word_effects(reader, utterance.text)
    except TrivalentError as error:
        show_error(error)


def _reader(analysis: Analysis) -> Expert | None:
    """Find the expert that read the words; None where a network did, or where the model is gone."""
    try:
        bundle = state.bundle(analysis.model.name)
    except TrivalentError:
        return None
    return bundle.experts.get(Modality.TEXT) if bundle.sha256 == analysis.model.sha256 else None


def _turn_to(key: str, record_id: str, analysis: Analysis) -> None:
    """Turn to the page of an utterance that was chosen on the timeline; a callback of the component."""
    index = st.session_state[key].get("reveal")
    if index is not None:
        _set_page(record_id, page_of(analysis, int(index)))
        st.session_state[f"reveal-{record_id}"] = int(index)
