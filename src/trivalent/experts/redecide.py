"""Deciding a finished analysis again: other modalities or terms, without any model.

The experts' opinions are in the analysis, the rest is arithmetic: the result is what the analyzer
would have given with these choices.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from trivalent.bundle.fusion import Joint, Opinion
from trivalent.bundle.loading import Bundle
from trivalent.core.analysis import Analysis, Evidence, UtteranceResult
from trivalent.core.errors import BundleError, InputError, UsageError
from trivalent.core.options import check_prior
from trivalent.core.types import Status, Utterance
from trivalent.experts.judge import ONLY_PRIOR, Judge
from trivalent.experts.readings import Reading


def redecide(
    analysis: Analysis,
    bundle: Bundle[Any],
    *,
    modalities: Collection[str] | None = None,
    thresholds: Sequence[float] | None = None,
    min_confidence: float | None = None,
    prior: Sequence[float] | None = None,
) -> Analysis:
    """Fuse the stored opinions again.

    Parameters
    ----------
    analysis : Analysis
        As the analyzer gave it: one that was decided again has lost the opinions that were
        switched off.
    bundle : Bundle
        The one that made the analysis; its graphs are not loaded.
    modalities : collection of str, optional
        Which to use, perhaps none, which leaves the prior; all that were analysed by default.
    thresholds : three floats, optional
        For negative, neutral, positive: the label is argmax p / tau.
    min_confidence : float, optional
        Abstain below this confidence.
    prior : three floats, optional
        Expected shares of negative, neutral, positive. All three stay as the analysis was decided with,
        or are the bundle's where it does not say.

    Returns
    -------
    Analysis
        With the same source, timing, key frames and tracks, and the warnings of the first run.

    Raises
    ------
    BundleError
        Another bundle made the analysis.
    InputError
        The analysis was written by a version that did not keep reliabilities.
    UsageError
        A modality, threshold or share is not a valid value, or the modality was not analysed.
    """
    if bundle.sha256 != analysis.model.sha256:
        raise BundleError(
            "analysis.redecide_other_bundle",
            name=analysis.model.name,
            version=analysis.model.version,
            sha256=analysis.model.sha256[:12],
            given=bundle.name,
            version2=bundle.version,
            sha2562=bundle.sha256[:12],
        )
    if prior is not None:
        check_prior(prior)
    chosen: dict[str, Any] = {"thresholds": thresholds, "min_confidence": min_confidence, "prior": prior}
    kept = {} if analysis.decided_with is None else vars(analysis.decided_with)
    terms = {name: kept.get(name) if own is None else own for name, own in chosen.items()}
    judge = Judge.of(bundle, modalities=modalities, **terms)
    if modalities is not None:
        _refuse_unread(analysis, judge)
    results = tuple(_again(u, judge) for u in analysis.utterances)
    overall, notes = judge.overall(results)
    warnings = (*(w for w in analysis.warnings if w != ONLY_PRIOR), *notes)
    return replace(
        analysis, decided_with=judge.terms, overall=overall, utterances=results, warnings=warnings
    )


def _refuse_unread(analysis: Analysis, judge: Judge) -> None:
    off = [
        m
        for m in judge.modalities
        if any(m in u.modalities and u.modalities[m].status is Status.OFF for u in analysis.utterances)
    ]
    if off:
        raise UsageError("analysis.redecide_off", off=",".join(off))


def _again(u: UtteranceResult, judge: Judge) -> UtteranceResult:
    readings = {m: _reading(u.modalities[m]) for m in judge.modalities if m in u.modalities}
    return judge.utterance(
        Utterance(u.index, u.start_s, u.end_s, u.text, language=u.language),
        readings,
        joint=Joint(u.joint, u.attention, u.joint_scores),
    )


def _reading(e: Evidence) -> Reading:
    if e.probabilities is None:
        return Reading(e.status, e.reason, None, e.quality)
    if e.reliability is None:
        raise InputError("analysis.redecide_no_reliability")
    return Reading(e.status, e.reason, Opinion(e.probabilities, e.reliability), e.quality)
