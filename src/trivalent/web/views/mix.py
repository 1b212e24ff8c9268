"""Sliders for the classes that are expected: how frequent each is, of three in proportion."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.core.types import LABELS
from trivalent.report.wording import GLYPHS
from trivalent.web import state
from trivalent.web.i18n import t, wording

STEP = 0.01
EQUAL = (1 / 3, 1 / 3, 1 / 3)
Mix = tuple[float, ...]


def ask_mix(key: str) -> Mix | None:
    """Ask for the classes of a new analysis; None while the model's own stand.

    Parameters
    ----------
    key : str
        Tells the sliders of one place from those of another.
    """
    model, usual = state.chosen_model(), EQUAL
    with suppress(TrivalentError):  # the analysis will tell
        usual = tuple(state.bundle(model).fusion.prior.tolist())
    st.caption(t("analyze.mix"), help=t("analyze.mix_help"))
    with st.container(horizontal=True, key=f"tv-mix-{key}"):
        chosen = mix_sliders(usual, key=f"{key}-{model}")  # another model begins with its own
    return None if chosen == usual else chosen


def mix_sliders(usual: Mix, *, key: str, off: bool = False) -> Mix:
    """Show a slider for each class; returns `usual` itself until one is moved.

    Parameters
    ----------
    usual : tuple of three floats
    key : str
        Of the sliders, see `slider_keys`.
    off : bool
        Nothing can be moved.
    """
    rounded = [min(max(round(share, 2), STEP), 1 - STEP) for share in usual]
    chosen = [
        st.slider(
            t("result.expected", sign=GLYPHS[label], label=wording().label(label)),
            STEP,
            1 - STEP,
            at,
            STEP,
            key=name,
            disabled=off,
        )
        for label, at, name in zip(LABELS, rounded, slider_keys(key), strict=True)
    ]
    total = sum(chosen)
    return usual if chosen == rounded else tuple(share / total for share in chosen)


def slider_keys(key: str) -> list[str]:
    """Name the sliders, negative first."""
    return [f"mix-{label}-{key}" for label in LABELS]
