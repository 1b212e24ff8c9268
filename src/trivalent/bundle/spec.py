"""What bundle.json says about one expert: its extractor, inputs, normalisation and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trivalent.bundle.files import MALFORMED, cut
from trivalent.core.errors import BundleError, FeatureError, UsageError
from trivalent.core.types import LABELS, FloatArray, Modality
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
            )
        except MALFORMED as error:
            raise BundleError(
                f"expected a complete expert in {where}, got a bad or absent key: {cut(error)}"
            ) from error
        spec._check_shapes(where)
        return spec

    def _check_shapes(self, where: str) -> None:
        framed = self.inputs is Inputs.FRAMES
        named, other = (self.channels, self.pooling) if framed else (self.pooling, self.channels)
        kind = "channels" if framed else "pooling"
        if other or (framed and not named):
            raise BundleError(
                f"expected only {kind} to be listed in {where} with inputs {str(self.inputs)!r}, got "
                f"{len(self.pooling)} pooled statistics and {len(self.channels)} channels"
            )
        shapes = {(len(named),), self.mean.shape, self.scale.shape}
        if len(shapes) > 1 or not 0 < self.temperature < np.inf:
            raise BundleError(
                f"expected {kind}, mean and scale of one length in {where}, and temperature > 0"
            )
        if not 0 < self.clip < np.inf or not 0 <= self.max_missing <= 1:
            raise BundleError(f"expected clip > 0 and max_missing from 0 to 1 in {where}; train it again")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise BundleError(f"expected finite means and positive scales in {where}; train it again")
        if (
            self.prior.shape != (len(LABELS),)
            or not np.isclose(self.prior.sum(), 1)
            or (self.prior <= 0).any()
        ):
            raise BundleError(f"expected a prior of three positive numbers that sum to 1 in {where}")


def check_columns(spec: ExpertSpec, modality: str) -> None:
    """Refuse a bundle whose columns are not those of today's extractor.

    Raises
    ------
    BundleError
        Another extractor, version or column; names both sides.
    """
    found = _extractor_of(spec, modality)
    if spec.extractor_version != found.version:
        raise BundleError(
            f"expected a bundle for {found.name} version {found.version}, got {modality} features of "
            f"version {cut(spec.extractor_version)}; train it again or install the matching trivalent"
        )
    need, given = _READ[Modality(modality)]
    if need not in found.needs:
        raise BundleError(
            f"expected an extractor that takes {need} for {modality}, got {found.name!r}; train it again"
        )
    if spec.takes not in found.graphs or spec.takes not in given:
        suited = " or ".join(e.name for e in own_extractors() if spec.takes in e.graphs)
        raise BundleError(
            f"expected {spec.takes} of {suited} for {modality}, got {spec.takes} of {found.name!r}"
        )
    available = found.graphs[spec.takes]
    lacking = [c for c in spec.columns if c not in available]
    if lacking:
        raise BundleError(
            f"expected {modality} columns that the extractor {found.name} computes, got "
            f"{len(lacking)} others: {_some(lacking)}; the extractor has besides: "
            f"{_some([c for c in available if c not in spec.columns]) or 'nothing'}"
        )
    try:
        needed = columns_of_channels(spec.channels) if spec.channels else columns_of(spec.pooling)
    except FeatureError as error:
        kind = "channels of frames" if spec.channels else "pooled names"
        raise BundleError(f"expected {kind} for {modality}: {cut(error)}") from error
    if unlisted := [c for c in needed if c not in spec.columns]:
        raise BundleError(
            f"expected the columns that {modality} pools or frames to be listed, got others: "
            f"{_some(unlisted)}"
        )


def _extractor_of(spec: ExpertSpec, modality: str) -> Extractor:
    """Look up an extractor that a bundle can rely on."""
    try:
        found = extractor(spec.extractor)
    except UsageError:
        found = None
    except FeatureError as error:
        raise BundleError(f"expected an extractor that works for {modality}: {error}") from error
    if found is not None and found.graphs:
        return found
    known = [e.name for e in own_extractors() if e.graphs]
    known += [name for name in extractor_names() if name not in OWN]
    raise BundleError(
        f"expected an extractor among {', '.join(known)} for {modality}, got {cut(spec.extractor)!r}"
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
