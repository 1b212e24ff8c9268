"""`trivalent evaluate`: a fusion bundle on a data set, its own or another one. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.loading import Bundle, load_network
from trivalent.bundle.network import Network, group_digest
from trivalent.core.errors import DataError, UsageError
from trivalent.core.types import Modality
from trivalent.lab.datasets.dataset import SPLITS, Dataset
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.measure.evaluation import render, report
from trivalent.lab.named_choices import check_known
from trivalent.lab.problems.encoders import our_name
from trivalent.lab.problems.parts import Part, Role

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
) -> dict[str, Any]:
    """Judge a bundle on one split of a data set.

    Parameters
    ----------
    bundle_path : path
    data : str
        Name of the data set.
    root : Path
        Data root.
    protocol : str, optional
        The bundle's own on its own data set, else the first of the data set.
    split : str
        train, val or test.
    modalities : sequence of str, optional
        Those of the bundle to use; the others count as absent. All by default.
    rounds : int
        Of the bootstrap over groups.

    Returns
    -------
    dict
        A JSON object: bundle, data, what `evaluation.report` tells, and caveats.

    Raises
    ------
    BundleError
        The bundle is none or damaged.
    UsageError
        Unknown data set, protocol, split or modality.
    DataError
        The data are absent, or their columns are not those of the bundle.
    """
    check_known("split", split, SPLITS)
    if rounds < 0:
        raise UsageError("evaluate.rounds", rounds=rounds)
    bundle = load_network(bundle_path)
    used = _modalities(bundle, modalities)
    entry = find_dataset(data)
    own = entry.name == bundle.fusion.data.name
    known = {p.name for p in entry.protocols}
    if protocol is None and own and bundle.fusion.data.protocol in known:
        protocol = bundle.fusion.data.protocol
    samples = entry.read(root, protocol).part(split)
    check_columns(bundle, samples, modalities=used)
    return {
        "schema": SCHEMA,
        "bundle": {"name": bundle.name, "sha256": bundle.sha256, "data": bundle.fusion.data.name},
        "data": samples.name,
        "protocol": samples.protocol,
        "split": split,
        "modalities": [str(m) for m in used],
    } | _scored(bundle, samples, split=split, modalities=used, rounds=rounds)


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
        if block is None:
            wrong.append(f"{m}: {spec.encoder.extractor} against no features")
            continue
        if our_name(block.extractor) != our_name(spec.encoder.extractor):
            wrong.append(f"{m}: {spec.encoder.extractor} against {block.extractor}")
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
    head = (
        f"{bundle['name']} ({bundle['sha256'][:12]}, trained on {bundle['data']}) on {content['data']}, "
        f"protocol {content['protocol']}, {content['split']}; {', '.join(content['modalities'])}"
    )
    return "\n".join([head, *render(content), *(f"note: {text}" for text in content["caveats"])])


def _modalities(bundle: Bundle[Network], names: Sequence[str] | None) -> tuple[Modality, ...]:
    if names is None:
        return tuple(bundle.fusion.modalities)
    for name in names:
        check_known(f"modality of {bundle.name}", name, bundle.fusion.modalities)
    if not names:
        raise UsageError("evaluate.modalities")
    return tuple(m for m in bundle.fusion.modalities if m in names)


def _scored(
    bundle: Bundle[Network], data: Dataset, *, split: str, modalities: Sequence[Modality], rounds: int
) -> dict[str, Any]:
    """Predict, then compare with the labels through the guard, once."""
    features = {m: (data.features[m].values, data.features[m].columns) for m in modalities}
    answers = bundle.decision.answer(bundle.fusion.posterior(features))
    part = Part(_ROLES[split], {m: x for m, (x, _) in features.items()}, data.groups, data.labels)
    scores = part.score(
        bundle.name,
        answers.decisions,
        seed=0,
        by=lambda labels, _: report(
            labels,
            answers,
            groups=data.groups.tolist(),
            prior=np.array(bundle.fusion.data.prior),
            coverage=1 - bundle.decision.sets.alpha,
            rounds=rounds,
        ),
    )
    return scores | {"synthetic": data.synthetic, "caveats": _caveats(bundle, data, split)}


def _caveats(bundle: Bundle[Network], data: Dataset, split: str) -> list[str]:
    """Tell what makes the figures too good, or worthless."""
    seen = np.isin([group_digest(group) for group in data.groups.tolist()], bundle.fusion.data.seen)
    caveats = []
    if seen.any():
        caveats.append(
            f"{seen.sum()} of {len(seen)} samples are of videos or speakers with names that occur in the "
            f"bundle's training or validation data: these figures are optimistic"
        )
    elif split != "test" and data.name == bundle.fusion.data.name:
        caveats.append(f"{split} is no test: the bundle was made with it")
    if data.synthetic or bundle.fusion.data.synthetic:
        caveats.append("features drawn at random: the figures say nothing about people")
    if data.name != bundle.fusion.data.name:
        caveats.append("another data set: speakers, recordings and the meaning of the labels differ")
    return caveats


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest if names else "none"
