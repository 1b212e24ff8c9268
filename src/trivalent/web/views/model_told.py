"""What is said of a model by how it fuses: the one place where the app asks which kind it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle
from trivalent.bundle.network import MIXED_ABOVE, Network
from trivalent.core.types import LABELS, Modality
from trivalent.web.i18n import t, wording
from trivalent.web.views.notices import plain

METRICS = ("macro_f1", "weighted_f1", "negative_recall", "ece")
PARTS = ("validation", "test")  # that a trained network is judged on
Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # head, rows


@dataclass(frozen=True)
class ModelTold:
    """Of one bundle.

    Attributes
    ----------
    parts : Table
        What it is made of, by modality.
    figures : Table
        What it records of itself; maybe no rows.
    figures_note, uncalibrated : str
        Where the figures come from; and what to say where nothing else was measured.
    data : Any
        What it was trained on, as a model card says it.
    mixed, weights : str
        Paragraphs of the guide: what contradicts each other, and what counts how much.
    """

    parts: Table
    figures: Table
    figures_note: str
    uncalibrated: str
    data: Any
    mixed: str
    weights: str


def told(bundle: Bundle[Pool] | Bundle[Network]) -> ModelTold:
    """Tell a model."""
    if isinstance(bundle.fusion, Network):
        return _of_network(bundle, bundle.fusion)
    return _of_pool(bundle, bundle.fusion)


def _of_pool(bundle: Bundle[Any], pool: Pool) -> ModelTold:
    parts = []
    for modality, expert in bundle.experts.items():
        spec = expert.spec
        features = f"{spec.extractor} {spec.extractor_version}"
        strength = f"{spec.strength:.2f}"
        parts.append((wording().modality(modality), features, strength, f"{spec.temperature:.2f}"))
    figures = [
        _row(wording().modality(m), where, scores)
        for m in Modality
        for where, scores in _scores(bundle.metrics.get(m), ())
    ]
    return ModelTold(
        (_head("modality", "extractor", "strength", "temperature"), parts),
        (_head("modality", "evaluated_on", "items", *METRICS), figures),
        t("models.metrics_note"),
        t("models.calibration_missing"),
        bundle.card.get("data"),
        t("guide.mixed", mixed_above=f"{pool.mixed_above:g}"),
        t("guide.weights", beside=_beside(pool)),
    )


def _beside(pool: Pool) -> str:
    return ", ".join(
        t(
            "guide.beside_one",
            channel=wording().modality(m),
            polar=f"{beside.polar:.2f}",
            neutral=f"{beside.neutral:.2f}",
        )
        for m, beside in pool.beside.items()
    )


def _of_network(bundle: Bundle[Any], network: Network) -> ModelTold:
    parts = []
    for modality, spec in network.modalities.items():
        name, version = spec.encoder.extractor, spec.encoder.version
        features = (
            f"{name} {version}" if spec.encoder.from_recordings else t("models.not_made", extractor=name)
        )
        parts.append((wording().modality(modality), features, f"{len(spec.cleaner.columns):,}"))
    figures = [
        _row(t("models.together"), t(f"models.part_{part}"), _judged(bundle.metrics, part))
        for part in PARTS
    ]
    data = network.data
    return ModelTold(
        (_head("modality", "extractor", "statistics"), parts),
        (_head("modality", "evaluated_on", "items", *METRICS), [row for row in figures if any(row[2:])]),
        t("models.metrics_note_network"),
        t("models.calibration_missing_network"),
        t("models.network_data", name=data.name, protocol=data.protocol, licence=data.licence)
        + (t("models.synthetic") if data.synthetic else ""),
        t("guide.mixed_network", mixed_above=f"{MIXED_ABOVE:g}"),
        t("guide.weights_network"),
    )


def card_words(card: Any) -> str:
    """One line per modality of what a card says, in its own words."""
    if isinstance(card, Mapping):
        known = {str(m): wording().modality(m) for m in Modality}
        return "\n".join(f"- **{plain(known.get(k, str(k)))}**: {plain(str(v))}" for k, v in card.items())
    return plain(str(card)) if card else t("models.not_stated")


def _head(*columns: str) -> list[str]:
    return [t(f"models.{column}") for column in columns]


def _row(of: str, where: str, scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Write what is a number; anybody may have written the rest."""
    count = scores.get("n")
    items = f"{count:,.0f}" if isinstance(count, int | float) else ""
    numbers = (scores.get(name) for name in METRICS)
    return (of, where, items, *(f"{x:.3f}" if isinstance(x, int | float) else "" for x in numbers))


def _scores(recorded: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Find whatever has a macro-F1, at any depth."""
    if not isinstance(recorded, Mapping) or len(path) > 4:
        return
    if "macro_f1" in recorded:
        yield " ".join(path).replace("_", " "), recorded
        return
    for key, value in recorded.items():
        yield from _scores(value, (*path, str(key)))


def _judged(metrics: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Flatten what `trivalent train` recorded of the whole network on one part."""
    whole = _in(metrics, part, "ensemble")
    figures = _in(whole, "figures")
    return {
        "n": whole.get("n"),
        "negative_recall": _in(whole, "classes", LABELS[0]).get("recall"),
        **{name: _in(figures, name).get("value") for name in figures},
    }


def _in(content: Any, *keys: str) -> Mapping[str, Any]:
    """Look up an object in an object, empty where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}
