"""Runs of `trivalent train` beside each other: their own figures, and what a difference is worth.

Nothing is computed anew but the paired tests, over seeds and over videos or speakers: all figures are
those that a run wrote when it was finished, and test figures stay what they were, one score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.files import MANIFEST
from trivalent.core.errors import DataError, UsageError
from trivalent.core.messages import Message
from trivalent.core.outside import clean_line
from trivalent.lab.measure.metrics import accuracy, macro_f1, weighted_f1
from trivalent.lab.measure.result_files import Value
from trivalent.lab.measure.said import PREDICTIONS, Said, read_said
from trivalent.lab.measure.statistics import paired_bootstrap, paired_t

METRICS = "metrics.json"
BUNDLE = "bundle"  # its folder beside the figures
PARTS = ("validation", "test")
# Least and greatest value of what is shown, in this order; the last two are better when lower.
LIMITS = {
    "macro_f1": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
    "weighted_f1": (0.0, 1.0),
    "ece": (0.0, 1.0),
    "nll": (0.0, np.inf),
}
LOWER_IS_BETTER = ("ece", "nll")
GROUPED = {"macro_f1": macro_f1, "accuracy": accuracy, "weighted_f1": weighted_f1}  # of decisions
ROUNDS = 1000  # of the bootstrap over groups
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Run:
    """One part of a run's metrics.json.

    Attributes
    ----------
    label : str
        Its name, with the folder where several have it.
    data, protocol : str
    seen : frozenset of str
        Digests of the videos or speakers that training and validation used, which tell tables of one name
        apart.
    synthetic : bool
    samples, groups : int
    seeds : mapping of int to (mapping of str to float)
        Figures of each seed.
    mean : mapping of str to Value
        Over seeds, with intervals over seeds.
    ensemble : mapping of str to Value
        Of the bundle, which averages the seeds' logits; intervals over videos or speakers.
    constants : mapping of str to (mapping of str to Value)
        Each class always.
    said : Said, optional
        Of each sample, by the bundle; None of a run that did not keep it.
    """

    label: str
    data: str
    protocol: str
    seen: frozenset[str]
    synthetic: bool
    samples: int
    groups: int
    seeds: Mapping[int, Mapping[str, float]]
    mean: Values
    ensemble: Values
    constants: Mapping[str, Values]
    said: Said | None = None

    @property
    def judged_on(self) -> tuple[Any, ...]:
        """What two runs share whose figures can be ranked: data, protocol, videos or speakers, classes."""
        constants = [
            (name, *(round(v.mean, 9) for v in own.values())) for name, own in self.constants.items()
        ]
        about = (self.data, self.protocol, self.seen, self.synthetic, self.samples, self.groups)
        return (*about, *constants)


@dataclass(frozen=True)
class Difference:
    """A figure of one run minus that of another, paired; the interval is 95 %."""

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def undecided(self) -> bool:
        """Whether the interval covers zero."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Pair:
    """The first run of a table against another one.

    Attributes
    ----------
    run : Run
        The other one.
    differences : mapping of str to Difference
        First minus other, over seeds; empty without a test.
    reason : Message or None
        Why there is none.
    over_groups : mapping of str to Difference
        Of the ensembles, over videos or speakers; empty where a run did not keep what it said.
    """

    run: Run
    differences: Mapping[str, Difference]
    reason: Message | None = None
    over_groups: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Runs that were judged on the same samples, in the order given, and tests against the first."""

    runs: tuple[Run, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Comparison:
    """All tables of one part."""

    part: str
    tables: tuple[Table, ...]


def compare(folders: Sequence[Path], *, part: str = "validation") -> Comparison:
    """Read runs and lay them out, a table for each set of samples.

    Parameters
    ----------
    folders : sequence of Path
        Which `trivalent train` wrote from fusion recipes.
    part : str
        validation or test. Test figures are for telling, not for choosing.

    Raises
    ------
    DataError
        A folder holds no run, or its figures are damaged.
    UsageError
        A folder was given twice, or there is no such part.
    """
    if part not in PARTS:
        raise UsageError("compare.part", parts=PARTS, part=part)
    twice = [f for i, f in enumerate(folders) if f.resolve() in [g.resolve() for g in folders[:i]]]
    if twice or not folders:
        raise UsageError("compare.twice", folders=[str(f) for f in twice])
    read = [_content(folder / METRICS) for folder in folders]
    names = [clean_line(str(content.get("system"))) for content in read]
    labels = [
        f"{name} ({clean_line(str(folder))})" if names.count(name) > 1 else name
        for name, folder in zip(names, folders, strict=True)
    ]
    runs = [
        _run(content, part, label=label, folder=folder)
        for content, label, folder in zip(read, labels, folders, strict=True)
    ]
    alike: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        alike.setdefault(run.judged_on, []).append(run)
    tables = [Table(tuple(own), tuple(pair(own[0], other) for other in own[1:])) for own in alike.values()]
    return Comparison(part, tuple(tables))


def pair(first: Run, other: Run) -> Pair:
    """Test two runs on the same samples: by Student's paired t over seeds, by the bootstrap over groups."""
    return replace(_over_seeds(first, other), over_groups=_over_groups(first, other))


def _over_groups(first: Run, other: Run) -> dict[str, Difference]:
    one, two = first.said, other.said
    if one is None or two is None:
        return {}
    alike = np.array_equal(one.groups, two.groups) and np.array_equal(one.labels, two.labels)
    if not alike or not len(one.labels):
        raise DataError("compare.other_rows", first=first.label, other=other.label)
    found = {
        name: paired_bootstrap(
            metric,
            one.labels,
            first=one.decisions,
            second=two.decisions,
            groups=one.groups.tolist(),
            rounds=ROUNDS,
        )
        for name, metric in GROUPED.items()
    }
    return {name: Difference(t.difference, t.low, t.high, t.p_value) for name, t in found.items()}


def _over_seeds(first: Run, other: Run) -> Pair:
    if first.seeds.keys() != other.seeds.keys():
        mine, theirs = (", ".join(map(str, sorted(run.seeds))) for run in (first, other))
        return Pair(other, {}, Message("compare.other_seeds", first=mine, other=theirs))
    if len(first.seeds) < 2:
        return Pair(other, {}, Message("compare.one_seed"))
    return Pair(other, {name: _difference(name, first, other) for name in LIMITS})


def _difference(name: str, first: Run, other: Run) -> Difference:
    """Pair by seed; the interval is cut at the greatest difference that there can be."""
    one, two = ([run.seeds[seed][name] for seed in first.seeds] for run in (first, other))
    found = paired_t(one, two)
    span = LIMITS[name][1] - LIMITS[name][0]
    return Difference(found.difference, max(found.low, -span), min(found.high, span), found.p_value)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError("compare.absent", path=path, reason=error.strerror or error) from error
    except ValueError as error:
        raise DataError("compare.damaged", path=path, reason=error) from error
    if not isinstance(content, dict):
        raise DataError("compare.damaged", path=path, reason=type(content).__name__)
    return content


def _seen(folder: Path) -> frozenset[str]:
    """Read what the bundle of a run says that it was trained on."""
    path = folder / BUNDLE / MANIFEST
    try:
        return frozenset(map(str, _content(path)["fusion"]["data"]["seen"]))
    except (KeyError, TypeError) as error:
        reason = f"{type(error).__name__} {error}"
        raise DataError("compare.damaged", path=path, reason=reason) from error


def _run(content: Mapping[str, Any], part: str, *, label: str, folder: Path) -> Run:
    try:
        found = content[part]
        whole = found["ensemble"]
        return Run(
            label,
            clean_line(str(content["data"])),
            clean_line(str(content["protocol"])),
            _seen(folder),
            bool(content["synthetic"]),
            int(whole["n"]),
            int(whole["groups"]),
            {int(own["seed"]): {name: _finite(own[name]) for name in LIMITS} for own in found["seeds"]},
            {name: _value(name, found["mean"][name], "mean") for name in LIMITS},
            {name: _value(name, whole["figures"][name], "value") for name in LIMITS},
            {
                clean_line(str(constant)): {name: Value(_finite(own[name])) for name in LIMITS}
                for constant, own in whole["baselines"].items()
            },
            read_said(folder / PREDICTIONS, part) if (folder / PREDICTIONS).exists() else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{part}: {type(error).__name__} {error}"
        raise DataError("compare.damaged", path=folder / METRICS, reason=reason) from error


def _value(name: str, given: Mapping[str, Any], key: str) -> Value:
    """Read a figure; its interval is cut at the limits of the figure, which Student's t does not know."""
    low, high = (None if given[end] is None else _finite(given[end]) for end in ("low", "high"))
    if low is None or high is None:
        return Value(_finite(given[key]))
    least, greatest = LIMITS[name]
    return Value(_finite(given[key]), max(low, least), min(high, greatest))


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(number)
    return number


__all__ = [
    "LIMITS",
    "LOWER_IS_BETTER",
    "PARTS",
    "Comparison",
    "Difference",
    "Pair",
    "Run",
    "Table",
    "compare",
    "pair",
]
