"""`trivalent evaluate`: a bundle on a data set, its own or another one. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle, load_any, load_bundle
from trivalent.bundle.network import Network, group_digest
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import FloatArray, Modality
from trivalent.lab.datasets.dataset import SPLITS, Dataset
from trivalent.lab.datasets.own import TEST_ALONE, OwnOptions
from trivalent.lab.datasets.recordings import Cut, FeaturePlan
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.text_features import with_text_features
from trivalent.lab.measure.evaluate_recordings import judge_recordings
from trivalent.lab.measure.evaluation import render, report_once
from trivalent.lab.measure.predictions import OK, Judged, write_predictions
from trivalent.lab.measure.score_report import render_scores, report_scores
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.encoders import our_name
from trivalent.lab.problems.parts import Part, Role, Truth

SCHEMA = "trivalent.evaluation/1"
_ROLES = dict(zip(SPLITS, Role, strict=True))
_SHOWN = 3  # names of columns in a message


def evaluate(
    bundle_path: str | Path,
    *,
    data: str,
    root: Path,
    protocol: str | None = None,
    split: str = "test",
    modalities: Sequence[str] | None = None,
    rounds: int = 1000,
    cut: str = Cut.WHOLE,
    label_map: Mapping[str, str] | None = None,
    workers: int = 1,
    predictions: Path | None = None,
) -> dict[str, Any]:
    """Judge a bundle on one split of a data set.

    Parameters
    ----------
    bundle_path : path
        Folder or .zip, or the name of an installed bundle.
    data : str
        Name of the data set, or your own .csv; a bundle of experts judges recordings alone.
    root : Path
        Data root.
    protocol : str, optional
        The bundle's own on its own data set, else the first of the data set.
    split : str
        train, val or test; your own table without a column `split` is test as a whole.
    modalities : sequence of str, optional
        Those of the bundle to use; the others count as absent. All by default.
    rounds : int
        Of the bootstrap over groups.
    cut, label_map, workers
        Of your own table; see `OwnFeatures` and `OwnOptions`.
    predictions : Path, optional
        A CSV to write, with a row for each sample; see `write_predictions`.

    Returns
    -------
    dict
        A JSON object: bundle, data, what `evaluation.report` tells, caveats, and of a network with scores
        on data that have some `scores`, what `report_scores` tells.

    Raises
    ------
    BundleError
        The bundle is none or damaged, or your own recordings cannot give what it was trained on.
    UsageError
        Unknown data set, protocol, split or modality, or a data set where recordings are needed.
    DataError
        The data are absent, or their columns are not those of the bundle.
    """
    check_known("split", split, SPLITS)
    check_known("cut", cut, Cut)
    if rounds < 0:
        raise UsageError("evaluate.rounds", rounds=rounds)
    if predictions is not None and not predictions.parent.is_dir():  # told before the work
        raise UsageError("table.folder", path=predictions)
    own = data.lower().endswith(".csv")
    bundle = load_bundle(bundle_path) if own else load_any(bundle_path)
    used = _modalities(bundle, modalities)
    options = OwnOptions(
        fractions=TEST_ALONE,
        label_map=label_map or {},
        plan=_plan(bundle, used, Cut(cut)),
        workers=workers,
    )
    if isinstance(bundle.fusion, Pool):
        if not own:
            raise UsageError("evaluate.recordings", name=bundle.name, data=data)
        judged = judge_recordings(
            bundle_path, Path(data), options=options, protocol=protocol, split=split, modalities=used
        )
        prior, trained_on = bundle.fusion.prior, None
    else:
        judged = _judge_features(
            bundle, data, root=root, options=options, protocol=protocol, split=split, modalities=used
        )
        prior, trained_on = np.array(bundle.fusion.data.prior), bundle.fusion.data.name
    content = {
        "schema": SCHEMA,
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "data": trained_on},
        "data": judged.samples.name,
        "protocol": judged.samples.protocol,
        "split": split,
        "modalities": [str(m) for m in used],
    } | _scored(bundle, judged, split=split, prior=prior, rounds=rounds)
    if own:
        content["left_out"] = dict(judged.samples.dropped)
        content["caveats"] += [f"left out: {n:,} {what}" for what, n in judged.samples.dropped.items()]
    if predictions is not None:
        write_predictions(judged, predictions)
    return content


def _plan(bundle: Bundle[Any], modalities: Sequence[Modality], cut: Cut) -> FeaturePlan:
    """Say what is extracted of your own recordings: what the bundle was trained on."""
    fusion = bundle.fusion
    if isinstance(fusion, Pool):
        return FeaturePlan(cut=cut)
    encoders = {m: fusion.modalities[m].encoder for m in modalities}
    return FeaturePlan(
        {m: spec for m, spec in encoders.items() if spec.from_recordings}, fusion.whisper, cut
    )


def _judge_features(
    bundle: Bundle[Network],
    data: str,
    *,
    root: Path,
    options: OwnOptions,
    protocol: str | None,
    split: str,
    modalities: Sequence[Modality],
) -> Judged:
    """Ask a network about the features of a data set."""
    entry = find_dataset(data, own=options)
    own = entry.name == bundle.fusion.data.name
    known = {p.name for p in entry.protocols}
    if protocol is None and own and bundle.fusion.data.protocol in known:
        protocol = bundle.fusion.data.protocol
    samples = entry.read(root, protocol).part(split)
    words = bundle.fusion.modalities.get(Modality.TEXT)
    if Modality.TEXT in modalities and words is not None and words.encoder.from_recordings:
        samples = with_text_features(samples, words.encoder)
    there = [m for m in modalities if m in samples.features or not data.lower().endswith(".csv")]
    check_columns(bundle, samples, modalities=there)
    features = {m: (samples.features[m].values, samples.features[m].columns) for m in there}
    answers = bundle.decision.answer(bundle.fusion.posterior(features))
    statuses = {m: _statuses(samples, m) for m in modalities}
    return Judged(samples, answers, statuses, bundle.fusion.scores(features))


def _statuses(samples: Dataset, modality: Modality) -> tuple[str, ...]:
    block = samples.features.get(modality)
    if block is None:
        return ("absent",) * len(samples)
    reasons = block.reasons or ("",) * len(samples)
    return tuple(
        OK if there else reason or "absent" for there, reason in zip(block.present, reasons, strict=True)
    )


def check_columns(bundle: Bundle[Network], data: Dataset, *, modalities: Sequence[Modality]) -> None:
    """Compare extractors and columns of a data set with those that a bundle was trained on.

    Raises
    ------
    DataError
        They differ; the message lists every difference.
    """
    wrong = []
    for m in modalities:
        spec, block = bundle.fusion.modalities[m], data.features.get(m)
        extractor = spec.encoder.extractor
        if block is None:
            wrong.append(f"{m}: {extractor} against no features")
            continue
        if our_name(block.extractor) != our_name(extractor):
            wrong.append(f"{m}: {extractor} against {block.extractor}")
        absent = [name for name in spec.cleaner.columns if name not in set(block.columns)]
        if absent:
            removed = [*spec.cleaner.columns, *spec.cleaner.removed]
            further = [name for name in block.columns if name not in set(removed)]
            wrong.append(
                f"{m}: {len(absent)} of {len(spec.cleaner.columns)} columns are absent ({_some(absent)}), "
                f"{len(further)} are others ({_some(further)})"
            )
    if wrong:
        raise DataError(
            "evaluate.other_features",
            name=bundle.name,
            given=bundle.fusion.data.name,
            name3=data.name,
            wrong="; ".join(wrong),
        )


def render_text(content: Mapping[str, Any]) -> str:
    """Lay an evaluation out as plain text."""
    bundle = content["bundle"]
    trained = f", trained on {bundle['data']}" if bundle["data"] else ""
    head = (
        f"{bundle['name']} ({bundle['sha256'][:12]}{trained}) on {content['data']}, "
        f"protocol {content['protocol']}, {content['split']}; {', '.join(content['modalities'])}"
    )
    scores = render_scores(content["scores"]) if "scores" in content else []
    return "\n".join([head, *render(content), *scores, *(f"note: {text}" for text in content["caveats"])])


def _modalities(bundle: Bundle[Any], names: Sequence[str] | None) -> tuple[Modality, ...]:
    fusion = bundle.fusion
    available = bundle.experts if isinstance(fusion, Pool) else fusion.modalities
    if names is None:
        return tuple(available)
    for name in names:
        check_known(f"modality of {bundle.name}", name, available)
    if not names:
        raise UsageError("evaluate.modalities")
    return tuple(m for m in available if m in names)


def _scored(
    bundle: Bundle[Any], judged: Judged, *, split: str, prior: FloatArray, rounds: int
) -> dict[str, Any]:
    """Compare the answers with the labels through the guard, once."""
    samples, answers = judged.samples, judged.answers
    part = Part(_ROLES[split], {}, samples.groups, samples.labels, samples.scores)
    scores = report_once(
        part,
        answers,
        name=bundle.name,
        prior=np.asarray(prior),
        coverage=1 - bundle.decision.sets.alpha,
        rounds=rounds,
    )
    if isinstance(bundle.fusion, Pool):
        caveats = [*_seen_by_experts(bundle, samples), *_optimistic(_adapted_to(bundle), samples)]
    else:
        caveats = _caveats(bundle.fusion, samples, split)
    found = scores | {"synthetic": samples.synthetic, "caveats": caveats}
    if judged.scores is None:
        return found
    if not part.scored:
        caveats.append("not every sample has an annotated score: those of the network were not judged")
        return found
    return found | {
        "scores": part.score(
            bundle.name,
            judged.scores,
            seed=0,
            by=lambda truth, said: report_scores(
                truth,
                said,
                groups=samples.groups.tolist(),
                constants=bundle.fusion.data.constants,
                rounds=rounds,
            ),
            of=Truth.SCORES,
        )
    }


def _seen_by_experts(bundle: Bundle[Any], data: Dataset) -> list[str]:
    """Tell which data the experts know, and whether a table is named after one of them.

    A table of recordings says nothing else about where they come from.
    """
    words = set(re.split(r"[\W_]+", data.name.lower()))
    caveats = []
    for m, expert in bundle.experts.items():
        seen = expert.spec.seen
        known = sorted({name for name in (entry.partition(" ")[0] for entry in seen) if name in words})
        if known:
            named = ", ".join(known)
            theirs = ", ".join(entry for entry in seen if entry.partition(" ")[0] in known)
            caveats.append(
                f"the table is named after {named}, and the {m} expert has seen {theirs}: unless "
                "all recordings are of other parts, these figures are optimistic"
            )
        elif seen:
            caveats.append(
                f"the {m} expert has seen {', '.join(seen)}: recordings of these make figures too good"
            )
    return caveats


def _caveats(network: Network, data: Dataset, split: str) -> list[str]:
    """Tell what makes the figures too good, or worthless."""
    caveats = _optimistic(network.data.seen, data)
    if not caveats and split != "test" and data.name == network.data.name:
        caveats.append(f"{split} is no test: the bundle was made with it")
    if data.synthetic or network.data.synthetic:
        caveats.append("features drawn at random: the figures say nothing about people")
    if data.name != network.data.name:
        caveats.append("another data set: speakers, recordings and the meaning of the labels differ")
    return caveats


def _optimistic(known: Sequence[str], data: Dataset) -> list[str]:
    """Tell whether samples are of groups with these digests."""
    seen = np.isin([group_digest(group) for group in data.groups.tolist()], known)
    if not seen.any():
        return []
    return [
        f"{seen.sum()} of {len(seen)} samples are of videos or speakers with names that occur in the "
        f"bundle's training or validation data: these figures are optimistic"
    ]


def _adapted_to(bundle: Bundle[Any]) -> list[str]:
    """Digests of the groups that experts or their fusion were adapted to."""
    told = [figures.get("seen") for figures in bundle.metrics.values() if isinstance(figures, dict)]
    return [str(digest) for digests in told if isinstance(digests, list) for digest in digests]


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest if names else "none"
