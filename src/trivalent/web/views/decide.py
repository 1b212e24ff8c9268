"""Deciding a finished analysis again: switches and sliders that need no model."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from trivalent.bundle.decision import DecisionKind, DecisionRule
from trivalent.bundle.loading import Bundle
from trivalent.core.analysis import Analysis, Terms
from trivalent.core.errors import TrivalentError
from trivalent.core.types import LABELS, Modality, Status
from trivalent.experts.judge import Judge
from trivalent.experts.redecide import redecide
from trivalent.report.wording import GLYPHS, capital
from trivalent.web import state
from trivalent.web.i18n import t, translate, wording
from trivalent.web.views.mix import EQUAL, STEP, mix_sliders, slider_keys
from trivalent.web.views.notices import plain


@dataclass(frozen=True)
class Choices:
    """What the user set, or what was decided with at first.

    `thresholds` are None where the bundle's own rule has others than one for each class, or none.
    """

    modalities: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None
    min_confidence: float = 0.0
    prior: tuple[float, ...] = EQUAL

    @classmethod
    def of(cls, analysis: Analysis, terms: Terms) -> Choices:
        """Make those of an analysis."""
        thresholds = None if terms.thresholds is None else tuple(terms.thresholds.tolist())
        prior = tuple(terms.prior.tolist())
        return cls(tuple(_analysed(analysis)), thresholds, terms.min_confidence, prior)


def decided_again(analysis: Analysis, *, key: str) -> tuple[Analysis, bool]:
    """Show the controls and apply them.

    Parameters
    ----------
    analysis : Analysis
        As it was stored.
    key : str
        Of the controls: the record's id.

    Returns
    -------
    analysis : Analysis
        Decided as the controls say.
    changed : bool
        Whether that differs from the first decision.
    """
    usual, problem = _usual(analysis)
    if usual is None:
        _controls(_stored(analysis), key=key, off=True)
        st.caption(plain(problem))
        return analysis, False
    bundle, first = usual
    choices = _controls(first, key=key, off=False)
    if first.thresholds is None:
        st.caption(plain(_own_rule(bundle.decision.rule)))
    if choices == first:
        return analysis, False
    try:
        again = redecide(
            analysis,
            bundle,
            modalities=_with_silent(analysis, bundle, choices.modalities),
            thresholds=choices.thresholds,
            min_confidence=choices.min_confidence,
            prior=None if choices.prior == first.prior else choices.prior,
        )
    except TrivalentError as error:
        st.caption(plain(capital(translate(error.message))))
        return analysis, False
    return again, True


def _usual(analysis: Analysis) -> tuple[tuple[Bundle, Choices] | None, str]:
    """Find the bundle that made the analysis and what was decided with, or say why there is none."""
    try:
        bundle = state.bundle(analysis.model.name)
        if not _fits(analysis, bundle):
            redecide(analysis, bundle)  # says why not
    except TrivalentError as error:
        return None, capital(translate(error.message))
    return (bundle, Choices.of(analysis, analysis.decided_with or Judge.of(bundle).terms)), ""


def _stored(analysis: Analysis) -> Choices:
    """Tell what the analysis says it was decided with."""
    terms = analysis.decided_with
    return Choices(tuple(_analysed(analysis))) if terms is None else Choices.of(analysis, terms)


def _own_rule(rule: DecisionRule) -> str:
    """Say how a bundle decides without a threshold for each class, and what moving one does."""
    if rule.kind is DecisionKind.ARGMAX:
        return t("result.rule_argmax")
    label, least = wording().label(LABELS[rule.of]), wording().percent(rule.values[0])
    return t("result.rule_threshold", label=label, least=least)


def _fits(analysis: Analysis, bundle: Bundle) -> bool:
    told = all(e.reliability is not None for u in analysis.utterances for e in u.modalities.values())
    return told and bundle.sha256 == analysis.model.sha256


def _with_silent(analysis: Analysis, bundle: Bundle, chosen: tuple[str, ...]) -> list[str]:
    """Add the channels that had nothing to say, so that they keep telling their own reason."""
    analysed = _analysed(analysis)
    off = {str(m) for u in analysis.utterances for m, e in u.modalities.items() if e.status is Status.OFF}
    return [str(m) for m in bundle.modalities if m in chosen or (m not in analysed and m not in off)]


def _analysed(analysis: Analysis) -> list[str]:
    """Channels with an opinion on at least one utterance."""
    return [
        str(m)
        for m in Modality
        if any(u.modalities[m].status is Status.OK for u in analysis.utterances if m in u.modalities)
    ]


def _controls(first: Choices, *, key: str, off: bool) -> Choices:
    with st.container(horizontal=True, vertical_alignment="center", key="tv-decide-head"):
        st.markdown(f"**{t('result.decide')}**", width="content", help=t("result.decide_help"))
        again = st.container(width="content")
    with st.container(horizontal=True, key="tv-decide-row"):
        modalities = _channels(first, key=key, off=off)
        confidence = st.slider(
            t("result.min_confidence"),
            0.0,
            1.0,
            round(first.min_confidence, 2),
            STEP,
            key=f"confidence-{key}",
            disabled=off,
            help=t("result.min_confidence_help"),
        )
        thresholds = [_threshold(label, usual, key=key, off=off) for label, usual in _by_label(first)]
    with st.container(horizontal=True, key="tv-mix-decide"):
        st.caption(t("result.mix"), help=t("result.mix_help"), width="content")
        prior = mix_sliders(first.prior, key=key, off=off)
    choices = _unless_untouched(first, modalities, tuple(thresholds), confidence, prior)
    again.button(
        t("result.reset"),
        icon=":material/restart_alt:",
        type="tertiary",
        disabled=choices == first,
        key=f"reset-{key}",
        on_click=reset,
        args=(key,),
    )
    return choices


def _channels(first: Choices, *, key: str, off: bool) -> tuple[str, ...]:
    """Switches of the channels that had something to say; one alone needs none."""
    if len(first.modalities) < 2:
        return first.modalities
    modalities = st.pills(
        t("result.channels"),
        first.modalities,
        selection_mode="multi",
        default=first.modalities,
        format_func=lambda m: wording().modality(Modality(m)),
        key=f"modalities-{key}",
        disabled=off,
        help=t("result.channels_help"),
    )
    return tuple(modalities)


def _threshold(label: str, usual: float, *, key: str, off: bool) -> float:
    return st.slider(
        t("result.threshold", sign=GLYPHS[label], label=wording().label(label)),
        STEP,
        1.0,
        round(usual, 2),
        STEP,
        key=f"threshold-{label}-{key}",
        disabled=off,
    )


def _by_label(choices: Choices) -> list[tuple[str, float]]:
    return list(zip(LABELS, choices.thresholds or EQUAL, strict=True))


def _unless_untouched(
    first: Choices,
    modalities: tuple[str, ...],
    thresholds: tuple[float, ...],
    confidence: float,
    prior: tuple[float, ...],
) -> Choices:
    """Keep the first exact numbers, or the bundle's own rule, where the sliders stand on their rounding."""
    pairs = zip(thresholds, first.thresholds or EQUAL, strict=True)
    exact = tuple(usual if chosen == round(usual, 2) else chosen for chosen, usual in pairs)
    kept = first.thresholds if exact == (first.thresholds or EQUAL) else exact
    sure = first.min_confidence if confidence == round(first.min_confidence, 2) else confidence
    ordered = tuple(m for m in first.modalities if m in modalities)
    return Choices(ordered, kept, sure, prior)


def reset(key: str) -> None:
    """Go back to what was decided with at first; a callback."""
    for name in [
        f"modalities-{key}",
        f"confidence-{key}",
        *(f"threshold-{label}-{key}" for label in LABELS),
        *slider_keys(key),
    ]:
        st.session_state.pop(name, None)
