"""The model bundles: what they are made of, how good they are, and which one is used."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from trivalent.bundle import shelf as bundle_store
from trivalent.bundle.loading import Bundle, installed_bundles
from trivalent.core.errors import TrivalentError
from trivalent.core.settings import Auth
from trivalent.core.types import Modality
from trivalent.store import Role
from trivalent.web import figures, state
from trivalent.web.i18n import t
from trivalent.web.views.model_told import ModelTold, card_words, told
from trivalent.web.views.notices import plain, show_error
from trivalent.web.views.reliability import plot, reliability_of
from trivalent.web.views.tables import table


def show() -> None:
    """Make the page."""
    st.title(t("common.page_models"))
    st.markdown(t("models.intro"))
    if message := st.session_state.pop("models-message", None):
        st.success(message, icon=":material/check:")
    added = bundle_store.added_bundles(state.settings().home)
    names = [*installed_bundles(), *added]
    if (own := state.settings().model) not in names:
        names.insert(0, own)  # a path that the server was started with
    for name in names:
        with st.container(border=True):
            _card(name, removable=name in added)
    if _may_change():
        _add()
    else:
        st.caption(t("models.only_administrators"))


def _may_change() -> bool:
    return state.settings().auth is Auth.NONE or state.user().role is Role.ADMINISTRATOR


def _card(name: str, *, removable: bool) -> None:
    try:
        bundle, manifest = state.bundle(name), figures.manifest(_where(name))
    except TrivalentError as error:
        st.subheader(plain(name))
        st.warning(t("models.damaged"))
        show_error(error)
        if removable and _may_change():
            _remove_button(name)
        return
    _head(name, bundle, removable=removable)
    model, summary = told(bundle), bundle.card.get("summary", bundle.card.get("title"))
    if isinstance(summary, str):
        st.markdown(plain(summary))
    head, rows = model.parts
    st.html(table(head, rows, numbers_from=2))
    card = bundle.card
    said = {"licence": card.get("licence"), "limits": card.get("limits"), "training": model.data}
    for title, content in said.items():
        st.markdown(f"**{t(f'models.{title}')}**")
        st.markdown(card_words(content))
    used = name == state.chosen_model()
    with st.expander(t("models.metrics"), expanded=used, icon=":material/table_chart:"):
        _figures(model)
    with st.expander(t("models.calibration"), expanded=used, icon=":material/show_chart:"):
        _calibration(bundle.sha256, missing=model.uncalibrated)
    with st.expander(t("models.files"), icon=":material/fingerprint:"):
        st.caption(t("models.sha256"))
        st.code(bundle.sha256, language=None, wrap_lines=True)
        rows = [(file, digest) for file, digest in manifest["files"].items()]
        st.html(table([t("models.file"), "sha256"], rows, numbers_from=2))


def _where(name: str) -> str | Path:
    return bundle_store.resolve_choice(name, state.settings())


def _head(name: str, bundle: Bundle, *, removable: bool) -> None:
    size = figures.bundle_bytes(_where(name)) / 1e6
    known = "package" if name in installed_bundles() else "added" if removable else "server"
    origin = t(f"models.origin_{known}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(bundle.name), anchor=False)
        if name == state.chosen_model():
            st.badge(t("models.in_use"), icon=":material/check:", color="primary")
        elif st.button(t("models.use"), key=f"use-{name}"):
            state.choose_model(name)
            st.session_state["models-message"] = t("models.chosen", name=plain(name))
            st.rerun()
        if removable and _may_change():
            _remove_button(name)
    st.caption(t("models.facts", version=plain(bundle.version), size=f"{size:.1f}", origin=origin))


def _figures(model: ModelTold) -> None:
    head, rows = model.figures
    if not rows:
        st.markdown(t("models.metrics_none"))
        return
    st.html(table(head, rows, numbers_from=2))
    st.caption(model.figures_note)


def _calibration(sha256: str, *, missing: str) -> None:
    measured = figures.reliabilities(sha256)
    if not measured:
        st.markdown(missing)
        return
    st.caption(t("models.calibration_note"))
    for of in (figures.FUSED, *Modality):
        curves = [r for r in measured if r.of == of]
        if curves:
            plots = "".join(plot(r) for r in curves)
            name = reliability_of(of)
            st.html(f'<p class="tv-kicker">{name}</p><div class="tv-plots">{plots}</div>')
    benchmark = figures.result("reliability")
    if benchmark is not None:
        st.markdown("\n".join(f"- {plain(str(c))}" for c in benchmark.content["caveats"]))
    if st.toggle(t("models.figures"), key=f"figures-{sha256}"):
        columns = ("test_set", "confidence_range", "answers", "mean_confidence", "axis_right")
        rows = [
            (
                r.corpus,
                f"{b.low:.0%} – {b.high:.0%}",
                f"{b.count:,}",
                f"{b.confidence:.3f}",
                f"{b.right:.3f}",
            )
            for r in measured
            for b in r.bins
        ]
        st.html(table([t(f"models.{c}") for c in columns], rows))


def _remove_button(name: str) -> None:
    with st.popover(t("models.remove"), icon=":material/delete:", key=f"remove-{name}"):
        st.markdown(t("models.remove_ask", name=f"**{plain(name)}**"))
        if st.button(t("models.remove"), type="primary", key=f"remove-sure-{name}"):
            try:
                bundle_store.remove(name, state.settings().home)
            except TrivalentError as error:
                show_error(error)
                return
            if state.chosen_model() == name:
                state.choose_model(state.settings().model)
            st.session_state["models-message"] = t("models.removed", name=plain(name))
            st.rerun()


def _add() -> None:
    st.subheader(t("models.add"), anchor=False)
    with st.form("add-bundle", border=True):
        st.markdown(t("models.add_note"))
        file = st.file_uploader(t("models.add_file"), type=["zip"])
        replace = st.checkbox(t("models.add_replace"))
        sent = st.form_submit_button(t("models.add_button"), type="primary")
    if not sent or file is None:
        return
    with tempfile.TemporaryDirectory() as scratch, st.spinner(t("models.add_working")):
        archive = Path(scratch) / "bundle.zip"  # the name it was uploaded under has no meaning
        archive.write_bytes(file.getbuffer())
        try:
            bundle = bundle_store.install(archive, state.settings().home, replace=replace)
        except TrivalentError as error:
            show_error(error)
            return
    st.session_state["models-message"] = t(
        "models.added", name=plain(bundle.name), version=plain(bundle.version)
    )
    st.rerun()
