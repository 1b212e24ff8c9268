"""What a bundle of experts says about the recordings of your own table, each analysed as a user would."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trivalent.analyzer import Analyzer
from trivalent.bundle.decision import Answers
from trivalent.core.analysis import Analysis, UtteranceResult, Verdict
from trivalent.core.errors import DataError, FeatureError, InputError
from trivalent.core.types import LABELS, Modality, Status
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.own import UNDECODABLE, OwnOptions, numbered, own_entry
from trivalent.lab.datasets.own_table import OwnTable
from trivalent.lab.datasets.recordings import Cut
from trivalent.lab.measure.predictions import OK, Judged
from trivalent.lab.progress import track

log = logging.getLogger(__name__)


class _Answer(NamedTuple):
    """About one sample, of the recording at a position of the data set."""

    owner: int
    verdict: Verdict
    span: tuple[float, float]
    statuses: dict[Modality, str]


def judge_recordings(
    bundle_path: str | Path,
    table_path: Path,
    *,
    options: OwnOptions,
    protocol: str | None,
    split: str,
    modalities: Sequence[Modality],
) -> Judged:
    """Analyse the recordings of a part of the table; those that cannot be are told and left out.

    Parameters
    ----------
    bundle_path : path
    table_path : Path
    options : OwnOptions
        Its plan says whether a sample is a recording or an utterance, and how words are recognised.
    protocol : str, optional
    split : str
    modalities : sequence of Modality

    Raises
    ------
    DataError
        The table is faulty, or nothing in it can be analysed.
    """
    data = own_entry(table_path, options).read(Path(), protocol, features=False).part(split)
    cut = Cut.WHOLE if options.plan is None else options.plan.cut
    analyzer = Analyzer(bundle_path, modalities=[str(m) for m in modalities], threads=1)
    data, analyses = analyse_table(analyzer, data, options.table(table_path))
    answers = [a for i, analysis in enumerate(analyses) for a in _answers(i, analysis, cut, modalities)]
    return _judged(data, answers, analyzer, cut, modalities)


def analyse_table(analyzer: Analyzer, data: Dataset, table: OwnTable) -> tuple[Dataset, list[Analysis]]:
    """Analyse the recordings of a data set, which are rows of a table; those that cannot be are left out.

    Returns
    -------
    data : Dataset
        Without them; they are counted.
    analyses : list of Analysis

    Raises
    ------
    DataError
        None can be analysed.
    """
    rows = {row.name: (row, said) for row, said in zip(table.rows, table.transcripts(), strict=True)}
    done: dict[int, Analysis] = {}
    dropped, failed = Counter(data.dropped), ""
    for i, name in enumerate(track(data.ids.tolist(), "analysing", total=len(data))):
        row, transcript = rows[name]
        try:
            done[i] = analyzer.analyze(row.media, kind="recording", transcript=transcript)
        except (InputError, FeatureError) as error:
            dropped[UNDECODABLE] += 1
            failed = f"line {row.line}, {row.name}: {error}"
            log.warning("%s left out: %s", data.name, failed)
    if not done:
        raise DataError("own.none_decoded", name=data.name, count=len(data), told=failed)
    return replace(data.take(np.array(list(done))), dropped=dict(dropped)), list(done.values())


def _answers(owner: int, analysis: Analysis, cut: Cut, modalities: Sequence[Modality]) -> list[_Answer]:
    parts = analysis.utterances
    if cut is Cut.WHOLE:
        span = (parts[0].start_s, parts[-1].end_s) if parts else (0.0, 0.0)
        return [_Answer(owner, analysis.overall, span, _statuses(parts, modalities))]
    return [_Answer(owner, u.verdict, (u.start_s, u.end_s), _statuses([u], modalities)) for u in parts]


def _statuses(parts: Sequence[UtteranceResult], modalities: Sequence[Modality]) -> dict[Modality, str]:
    """Say ok of a modality that any part has, else why the first has not."""
    statuses = {}
    for m in modalities:
        evidence = [part.modalities[m] for part in parts]
        spoke = any(e.status is Status.OK for e in evidence)
        statuses[m] = OK if spoke else str(evidence[0].reason) if evidence else "absent"
    return statuses


def _judged(
    data: Dataset, answers: Sequence[_Answer], analyzer: Analyzer, cut: Cut, modalities: Sequence[Modality]
) -> Judged:
    owners = np.array([a.owner for a in answers], dtype=np.intp)
    kept: dict[str, Any] = {
        name: getattr(data, name)[owners] for name in ("ids", "groups", "split", "labels", "scores")
    }
    spans = np.array([a.span for a in answers])
    if cut is Cut.UTTERANCES:
        kept |= {"ids": numbered(kept["ids"]), "spans": spans}
    samples = replace(data, **kept, seconds=np.ptp(spans, axis=1), texts=None)
    p = np.array([a.verdict.probabilities for a in answers])
    given = Answers(
        p,
        np.array([LABELS.index(a.verdict.label) for a in answers]),
        np.array([a.verdict.confidence for a in answers]),
        np.array([not a.verdict.abstained for a in answers]),
        analyzer.judge.decision.sets.sets(p),
    )
    return Judged(samples, given, {m: tuple(a.statuses[m] for a in answers) for m in modalities})


__all__ = ["analyse_table", "judge_recordings"]
