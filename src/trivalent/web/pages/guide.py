"""The guide: how to read a result, what it cannot know, and what happens to the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from trivalent.bundle.loading import Bundle
from trivalent.core.settings import Auth
from trivalent.core.types import LABELS, Modality
from trivalent.experts.whole import PARTS_SHARE, TIE_MARGIN
from trivalent.report.renderer import esc
from trivalent.report.wording import MIXED, UNSURE, WHOLE_MIXED
from trivalent.web import figures, state
from trivalent.web.i18n import t, wording
from trivalent.web.views.drawing import renderer
from trivalent.web.views.model_told import card_words, told
from trivalent.web.views.notices import plain
from trivalent.web.views.reliability import reliability_of
from trivalent.web.views.tables import table

_TESTS = {"expert-text": Modality.TEXT, "expert-face": Modality.FACE}
_TALKING = {"fused": figures.FUSED, "words": Modality.TEXT, "voice": Modality.AUDIO, "face": Modality.FACE}


def show() -> None:
    """Make the page."""
    bundle = state.bundle(state.chosen_model())
    sections: dict[str, Callable[[Bundle], None]] = {
        "reading": _reading,
        "confidence": _confidence,
        "mixed": _mixed,
        "weights": _weights,
        "quality": _quality,
        "limits": _limits,
        "privacy": _privacy,
        "fairness": _fairness,
        "licences": _licences,
    }
    with st.container(key="tv-guide"):
        st.title(t("common.page_guide"))
        st.markdown(t("guide.intro", model=plain(bundle.name), version=plain(bundle.version)))
        links = "\n".join(f"- [{t(f'guide.h_{name}')}](#{name})" for name in sections)
        st.markdown(f"**{t('guide.contents')}**\n\n{links}")
        for name, section in sections.items():
            st.header(t(f"guide.h_{name}"), anchor=name)
            section(bundle)


def _reading(_: Bundle) -> None:
    st.markdown(t("guide.reading"))
    plain_signs = [(UNSURE, "unsure"), (MIXED, "mixed"), (WHOLE_MIXED, "mixed_whole")]
    signs = "".join(renderer().label(label) for label in LABELS)
    signs += "".join(
        f'<span class="tv-badge tv-mixed"><i>{sign}</i>{esc(t(f"common.{name}"))}</span>'
        for sign, name in plain_signs
    )
    st.html(f'<p class="tv-signs"><span>{esc(t("guide.signs"))}</span> {signs}</p>')


def _confidence(bundle: Bundle) -> None:
    st.markdown(t("guide.confidence"))
    measured = figures.reliabilities(bundle.sha256)
    if measured:
        st.markdown(t("guide.calibration_measured"))
        head = [t("guide.column_test"), t("guide.column_count"), t("guide.column_gap")]
        rows = [(f"{reliability_of(m.of)}, {m.corpus}", f"{m.count:,}", str(m.ece)) for m in measured]
        st.html(table(head, rows))
        _origin("reliability")
    else:
        st.markdown(t("guide.calibration_absent"))
    least = bundle.decision.min_confidence
    usual = (
        t("guide.abstains_below", min_confidence=wording().percent(least))
        if least
        else t("guide.abstains_never")
    )
    st.markdown(t("guide.abstaining", usual=usual))


def _mixed(bundle: Bundle) -> None:
    st.markdown(told(bundle).mixed)
    shares = {"share": wording().percent(PARTS_SHARE), "margin": f"{100 * TIE_MARGIN:.0f}"}
    st.markdown(t("guide.mixed_whole", **shares))


def _weights(bundle: Bundle) -> None:
    st.markdown(told(bundle).weights)
    found = figures.result("talking")
    if found is not None and bundle.name == "default":
        st.markdown(t("guide.weights_fitted", data=plain(found.content["data"])))
        _origin("talking")


def _quality(bundle: Bundle) -> None:
    rows = [*_talking(), *(row for name, modality in _TESTS.items() for row in _test_rows(name, modality))]
    if not rows:
        st.markdown(t("guide.results_absent", variable=figures.VARIABLE))
        return
    st.markdown(t("guide.quality"))
    if bundle.name != "default":
        st.warning(t("guide.other_model"))
    columns = ("test", "count", "f1", "constant")
    st.html(table([t(f"guide.column_{c}") for c in columns], rows))
    _origin("talking", *_TESTS)


def _talking() -> Sequence[tuple[str, ...]]:
    """All together, and each expert, on people who talk, beside the class frequencies of others."""
    found = figures.result("talking")
    if found is None:
        return []
    rows = found.rows()
    constant = rows["all: class frequencies of the other source"]["macro_f1"]
    made = []
    for system, of in _TALKING.items():
        words = t("guide.talking", channel=reliability_of(of))
        made.append(_row(words, rows[f"all: {system}"], constant.mean))
    return made


def _test_rows(name: str, modality: Modality) -> Sequence[tuple[str, ...]]:
    """Our expert beside the constant answer, for each corpus of a result file."""
    found = figures.result(name)
    if found is None:
        return []
    rows = found.rows()
    made = []
    for row, metrics in rows.items():
        corpus, _, system = row.partition(": ")
        constant = rows.get(f"{corpus}: constant")
        if system.startswith("trivalent ") and constant is not None:
            words = f"{wording().modality(modality)}, {corpus}"
            made.append(_row(words, metrics, constant["macro_f1"].mean))
    return made


def _row(words: str, metrics: Mapping[str, figures.Figure], constant: float) -> tuple[str, ...]:
    return words, str(metrics["n"]), str(metrics["macro_f1"]), f"{constant:.3f}"


def _origin(*names: str) -> None:
    found = [r for name in names if (r := figures.result(name)) is not None]
    values = {
        "files": ", ".join(r.path.name for r in found),
        "dates": ", ".join(sorted({str(r.content["date"]) for r in found})),
        "machine": plain(str(found[0].content["machine"])),
    }
    st.caption(t("guide.origin", **values))


def _limits(bundle: Bundle) -> None:
    st.markdown(t("guide.limits"))
    st.markdown(card_words(bundle.card.get("limits")))


def _privacy(_: Bundle) -> None:
    settings, user = state.settings(), state.user()
    days = user.retention_days or settings.retention_days
    local = settings.auth is Auth.NONE
    st.markdown(
        t(
            "guide.privacy",
            place=t("guide.place_local" if local else "guide.place_server"),
            retention=t("guide.retention_days", count=days) if days else t("guide.retention_none"),
            who=t("guide.who_local", home=str(settings.home)) if local else t("guide.who_accounts"),
        )
    )


def _fairness(_: Bundle) -> None:
    st.markdown(t("guide.fairness"))


def _licences(_: Bundle) -> None:
    st.markdown(t("guide.licences"))
