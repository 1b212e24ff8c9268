"""The fusion networks by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from trivalent.core.errors import RecipeError
from trivalent.core.types import Modality
from trivalent.lab.networks.attention import AttentionFusion, TransformerFusion
from trivalent.lab.networks.base import FusionNetwork
from trivalent.lab.networks.end_to_end import EndToEnd
from trivalent.lab.networks.misa import Misa
from trivalent.lab.networks.sequences import Mult, SequenceTransformer
from trivalent.lab.networks.simple import (
    Concatenation,
    GatedFusion,
    LateFusion,
    LinearFusion,
    Single,
)
from trivalent.lab.networks.tensor import LowRankFusion, TensorFusion

NETWORKS: dict[str, type[FusionNetwork]] = {
    "linear": LinearFusion,
    "single": Single,
    "concatenation": Concatenation,
    "late": LateFusion,
    "attention": AttentionFusion,
    "gated": GatedFusion,
    "transformer": TransformerFusion,
    "tfn": TensorFusion,
    "lmf": LowRankFusion,
    "misa": Misa,
    "mult": Mult,
    "sequence_transformer": SequenceTransformer,
    "end_to_end": EndToEnd,
}
_OR_NONE = ("free_layers",)  # counts that may be 0


def network_options(name: str) -> dict[str, Any]:
    """Return the options of a network with their defaults.

    >>> network_options("attention")
    {'hidden': 128, 'width': 64, 'heads': 4, 'head_hidden': 128, 'dropout': 0.3, 'classes': 3}
    """
    parameters = inspect.signature(_known(name, NETWORKS, what="a fusion network")).parameters
    return {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def check_reads(name: str, sequences: Iterable[str]) -> None:
    """Refuse a network that cannot read sequences.

    Raises
    ------
    RecipeError
        It reads one vector for each modality.
    """
    if not NETWORKS[name].reads_sequences:
        able = [other for other, network in NETWORKS.items() if network.reads_sequences]
        raise RecipeError("network.sequences", able=able, name=name, sequences=", ".join(sequences))


def check_reads_tokens(name: str) -> None:
    """Refuse a network to which the ids of tokens would be mere numbers.

    Raises
    ------
    RecipeError
        So it is.
    """
    if not NETWORKS[name].reads_tokens:
        able = [other for other, network in NETWORKS.items() if network.reads_tokens]
        raise RecipeError("network.tokens", able=able, name=name)


def build_network(name: str, *, widths: Mapping[Modality, int], **options: Any) -> FusionNetwork:
    """Make a fusion network; its weights are drawn from torch's global generator.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    widths : mapping of Modality (or its name) to int
        Number of features of each modality.
    **options
        As of the network's class; see `network_options`.

    Raises
    ------
    RecipeError
        The name, a modality or an option is unknown, or a value is impossible.

    Examples
    --------
    >>> widths = {Modality.TEXT: 300, Modality.AUDIO: 74, Modality.FACE: 710}
    >>> sum(p.numel() for p in build_network("attention", widths=widths).parameters())
    190339
    >>> build_network("atention", widths=widths)
    Traceback (most recent call last):
    ...
    trivalent.core.errors.RecipeError: expected a fusion network, got 'atention'; did you mean 'attention'?
    """
    defaults = network_options(name)
    for key, value in options.items():
        default = _known(key, defaults, what=f"an option of the network {name!r}")
        _check_value(key, value, default=default)
    named = {Modality(_of(str(m), [*Modality], what="a modality")): n for m, n in widths.items()}
    return NETWORKS[name](named, **options)


def _check_value(key: str, value: Any, *, default: Any) -> None:
    if isinstance(default, int):
        least = 0 if key in _OR_NONE else 1
        valid = isinstance(value, int) and not isinstance(value, bool) and value >= least
        expected = f"a whole number of at least {least}"
    elif "dropout" in key:
        valid, expected = _is_number(value) and 0 <= value < 1, "a probability in [0, 1)"
    elif isinstance(default, float):
        valid, expected = _is_number(value) and value >= 0, "a number of at least 0"
    else:
        return
    if not valid:
        raise RecipeError("network.option", expected=expected, key=key, value=value, default=default)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _known(name: str, choices: Mapping[str, Any], *, what: str) -> Any:
    return choices[_of(name, choices, what=what)]


def _of(name: str, choices: Iterable[str], *, what: str) -> str:
    names = [str(choice) for choice in choices]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
        raise RecipeError("network.unknown", what=what, name=name, hint=hint)
    return name
