"""What bundle.json says about how the features of a network are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from trivalent.bundle.files import cut
from trivalent.bundle.spec import check_available, check_extractor
from trivalent.core.errors import BundleError
from trivalent.features.pooling import columns_of, parse_name
from trivalent.features.steps import Steps

_LONGEST = 200  # characters of a statistic
GLOVE_SHA256 = "sha256"  # option beside glove_file: of that file, of which the user must have a copy


@dataclass(frozen=True, eq=False)
class EncoderSpec:
    """How the features of a modality are made.

    Attributes
    ----------
    extractor : str
    version : str
        Of the extractor.
    pooling : tuple of str
        What is pooled of its tables (`trivalent.features.pooling`); empty of sequences, and if the features
        are those of a data set that no extractor makes.
    options : mapping
        Numbers and words of the extractor's options. Never a path: a bundle may come from a stranger.
    names : tuple of str
        Of the pooled statistics or of the columns of steps, where the data set that a network was trained
        on has other names for them; in the same order.
    steps : Steps, optional
        How a sequence is made of the tables, for a network that reads one; None: one vector is pooled.
    """

    extractor: str
    version: str = ""
    pooling: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    steps: Steps | None = None

    @property
    def _made(self) -> tuple[str, ...]:
        return self.pooling if self.steps is None else self.steps.columns

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the features: of the vector, or of each step."""
        return self.names or self._made

    @property
    def from_recordings(self) -> bool:
        """Whether an extractor makes these features of recordings."""
        return bool(self._made)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the extractor's tables, as the pooling or the steps need them."""
        return columns_of(self.pooling) if self.steps is None else self.steps.columns

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        pooled = {} if self.steps is not None else {"pooling": list(self.pooling)}
        named = {"names": list(self.names)} if self.names else {}
        made = {"version": self.version, **pooled, "options": dict(self.options), **named}
        stepped = {} if self.steps is None else {"steps": self.steps.to_dict()}
        return {"extractor": self.extractor, **(made if self._made else {}), **stepped}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EncoderSpec:
        """Read from bundle.json.

        Raises
        ------
        FeatureError
            A statistic or a number of steps cannot be.
        AttributeError, LookupError, TypeError, ValueError
            A value is of a wrong kind.
        """
        steps = Steps.from_dict(content["steps"]) if "steps" in content else None
        pooling = tuple(content.get("pooling", ()))
        for name in pooling:
            if not isinstance(name, str) or len(name) > _LONGEST:
                raise TypeError("statistics are short words")
            parse_name(name)
        options = dict(content.get("options", {}))
        if any(not isinstance(value, bool | int | float | str) for value in options.values()):
            raise TypeError("options are numbers and words")
        names = tuple(map(str, content.get("names", ())))
        if steps is not None and pooling:
            raise ValueError("either pooling or steps")
        made = pooling if steps is None else steps.columns
        if names and len(names) != len(made):
            raise ValueError(f"{len(names)} names of {len(made)} features")
        extractor, version = str(content["extractor"]), str(content.get("version", ""))
        return cls(extractor, version, pooling, options, names, steps)


def check_encoder(spec: EncoderSpec, modality: str) -> None:
    """Refuse a network whose features today's extractor does not make.

    Raises
    ------
    BundleError
        Another extractor, version or column; or an option that it has not, or that may name a file.
    """
    named = check_extractor(spec.extractor, version=spec.version, modality=modality)
    options = dict(spec.options)
    kinds = {one.name: type(one.default) for one in fields(named.options)}
    if "glove_file" not in kinds or options.pop(GLOVE_SHA256, None) is None:
        # Vectors of a file have as many columns as that file says.
        check_available(spec.columns, named.columns, named=named, modality=modality)
    for name, value in options.items():
        if kinds.get(name) is not type(value):  # a path has the default None
            raise BundleError("bundle.encoder_option", modality=modality, name=named.name, option=cut(name))


__all__ = ["GLOVE_SHA256", "EncoderSpec", "check_encoder"]
