"""What bundle.json says about one expert: its extractor, inputs, normalisation and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.bundle.fusion import is_distribution
from trivalent.core.errors import BundleError, FeatureError, UsageError
from trivalent.core.types import FloatArray, Modality
from trivalent.features.extractor import Extractor, Inputs, Need
from trivalent.features.frames import columns_of_channels
from trivalent.features.pooling import columns_of
from trivalent.features.registry import OWN, extractor, extractor_names, own_extractors

# What an analysis has of each modality, and can give to the graph of its expert.
_READ = {
    Modality.TEXT: (Need.WORDS, (Inputs.TOKENS,)),
    Modality.AUDIO: (Need.SOUND, (Inputs.POOLED, Inputs.FRAMES)),
    Modality.FACE: (Need.PICTURES, (Inputs.POOLED,)),
}


@dataclass(frozen=True, eq=False)
class ExpertSpec:
    """One modality's entry in bundle.json.

    Attributes
    ----------
    inputs : Inputs
        Bundles that do not say are pooled, and those of token ids say so, too; see `takes`.
    pooling : tuple of str
        The pooled statistics ("F0.mean_voiced") that the graph takes, in order; empty for frames
        and for text, whose graph takes token ids.
    channels : tuple of str
        The channels (`trivalent.features.frames`) that a graph over frames takes, in order.
    mean, scale : array
        Normalise the statistics, or the channels.
    max_missing : float
        Share of the statistics, or of the rows, without a value above which there is no answer.
    strength : float
        How much of what it says holds for people who talk, see `trivalent.bundle.fusion.heard`.
    seen : tuple of str
        Data sets and parts ("meld train") that it was trained, chosen or calibrated on; empty if the
        bundle does not say.
    """

    extractor: str
    extractor_version: str
    columns: tuple[str, ...]
    model: str
    temperature: float
    prior: FloatArray
    pooling: tuple[str, ...] = ()
    mean: FloatArray = field(default_factory=lambda: np.zeros(0))
    scale: FloatArray = field(default_factory=lambda: np.ones(0))
    clip: float = 4.0
    max_missing: float = 0.25
    inputs: Inputs = Inputs.POOLED
    channels: tuple[str, ...] = ()
    strength: float = 1.0
    seen: tuple[str, ...] = ()

    @property
    def takes(self) -> Inputs:
        """What the graph takes."""
        tokens = Inputs.TOKENS in extractor(self.extractor).graphs
        return Inputs.TOKENS if tokens and self.inputs is Inputs.POOLED else self.inputs

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
        return plain | {"inputs": str(self.inputs)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str) -> ExpertSpec:
        """Read from bundle.json, checking shapes.

        Raises
        ------
        BundleError
            A key is absent or has an impossible value.
        """
        try:
            spec = cls(
                extractor=_text(data["extractor"]),
                extractor_version=_text(data["extractor_version"]),
                columns=_texts(data["columns"]),
                model=_text(data["model"]),
                temperature=float(data["temperature"]),
                prior=np.array(data["prior"], float),
                pooling=_texts(data["pooling"]),
                mean=np.array(data["mean"], float),
                scale=np.array(data["scale"], float),
                clip=float(data["clip"]),
                max_missing=float(data["max_missing"]),
                inputs=Inputs(data.get("inputs", "pooled")),
                channels=_texts(data.get("channels", [])),
                strength=float(data.get("strength", 1.0)),
                seen=_texts(data.get("seen", [])),
            )
        except MALFORMED as error:
            raise BundleError("bundle.spec_keys", where=where, given=cut(error)) from error
        spec._check_shapes(where)
        return spec

    def _check_shapes(self, where: str) -> None:
        framed = self.inputs is Inputs.FRAMES
        named, other = (self.channels, self.pooling) if framed else (self.pooling, self.channels)
        kind = "channels" if framed else "pooling"
        if other or (framed and not named):
            raise BundleError(
                "bundle.spec_kinds",
                kind=kind,
                where=where,
                inputs=self.inputs,
                count=len(self.pooling),
                count2=len(self.channels),
            )
        shapes = {(len(named),), self.mean.shape, self.scale.shape}
        if len(shapes) > 1 or not 0 < self.temperature < np.inf:
            raise BundleError("bundle.spec_lengths", kind=kind, where=where)
        strong = 0 < self.strength < np.inf
        if not 0 < self.clip < np.inf or not 0 <= self.max_missing <= 1 or not strong:
            raise BundleError("bundle.spec_bounds", where=where)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise BundleError("bundle.spec_scales", where=where)
        if not is_distribution(self.prior) or not self.prior.all():
            raise BundleError("bundle.spec_prior", where=where)


def check_columns(spec: ExpertSpec, modality: str) -> None:
    """Refuse a bundle whose columns are not those of today's extractor.

    Raises
    ------
    BundleError
        Another extractor, version or column; names both sides.
    """
    named = check_extractor(spec.extractor, version=spec.extractor_version, modality=modality)
    if spec.takes not in named.graphs or spec.takes not in _READ[Modality(modality)][1]:
        suited = " or ".join(e.name for e in own_extractors() if spec.takes in e.graphs)
        raise BundleError(
            "bundle.extractor_takes", takes=spec.takes, suited=suited, modality=modality, name=named.name
        )
    check_available(spec.columns, named.graphs[spec.takes], named=named, modality=modality)
    try:
        needed = columns_of_channels(spec.channels) if spec.channels else columns_of(spec.pooling)
    except FeatureError as error:
        kind = "channels of frames" if spec.channels else "pooled names"
        raise BundleError("bundle.spec_inputs", kind=kind, modality=modality, given=cut(error)) from error
    if unlisted := [c for c in needed if c not in spec.columns]:
        raise BundleError("bundle.spec_unlisted", modality=modality, some=_some(unlisted))


def check_extractor(name: str, *, version: str, modality: str) -> Extractor:
    """Find the extractor that a bundle relies on for a modality; raises `BundleError` if it is another."""
    try:
        named = extractor(name)
    except UsageError:
        named = None
    except FeatureError as error:
        raise BundleError("bundle.extractor_fails", modality=modality, error=error) from error
    if named is None or not named.graphs:
        names = [e.name for e in own_extractors() if e.graphs]
        names += [name for name in extractor_names() if name not in OWN]
        raise BundleError("bundle.spec_extractor", known=names, modality=modality, given=cut(name))
    if version != named.version:
        raise BundleError(
            "bundle.extractor_version",
            name=named.name,
            version=named.version,
            modality=modality,
            given=cut(version),
        )
    need, _ = _READ[Modality(modality)]
    if need not in named.needs:
        raise BundleError("bundle.extractor_need", need=need, modality=modality, name=named.name)
    return named


def check_available(
    columns: Sequence[str], available: Sequence[str], *, named: Extractor, modality: str
) -> None:
    """Refuse columns that an extractor does not have; names both sides."""
    if lacking := [c for c in columns if c not in available]:
        raise BundleError(
            "bundle.extractor_columns",
            modality=modality,
            name=named.name,
            count=len(lacking),
            some=_some(lacking),
            others=_some([c for c in available if c not in columns]) or "nothing",
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, got {type(value).__name__}")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"a list of texts is expected, got {type(values).__name__}")
    return tuple(map(_text, values))


def _some(names: Sequence[str], limit: int = 6) -> str:
    return ", ".join(name[:80] for name in names[:limit]) + (
        f" and {len(names) - limit} more" if len(names) > limit else ""
    )
