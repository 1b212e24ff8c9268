"""How the features of a data set are made of recordings, where an extractor of ours makes the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trivalent.bundle.encoder import EncoderSpec
from trivalent.features.registry import extractor
from trivalent.features.steps import MAX_STEPS, StepKind, Steps

# Extractors as data sets name them: ours, and the options with which it does what theirs did. The toolbox
# of COVAREP writes zeros where ours leaves gaps.
_OURS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "covarep": ("covarep", {"strict": True}),
    "openface2": ("openface", {}),
}


def our_name(name: str) -> str:
    """Name an extractor as we do.

    >>> our_name("openface2"), our_name("bert")
    ('openface', 'bert')
    """
    return _OURS[name][0] if name in _OURS else name


def encoder_of(name: str, columns: Sequence[str], steps: int = 0) -> EncoderSpec:
    """Say how features of a data set, means over a sample or its words, are made of an utterance.

    Parameters
    ----------
    name : str
        The extractor as the data set names it.
    columns : sequence of str
        Those that a network takes.
    steps : int
        Of the longest sequence over words, if they are sequences.

    Returns
    -------
    EncoderSpec
        Without pooling where no extractor of ours has these columns: the network then lacks this modality
        in recordings, and says so.

    Examples
    --------
    >>> encoder_of("openface2", ["AU12_r"]).pooling, encoder_of("bert", ["bert_0"]).pooling
    (('AU12_r.mean',), ())
    """
    most = min(steps, MAX_STEPS)
    unmade = EncoderSpec(name, steps=Steps(StepKind.ROWS, most=most) if steps else None)
    if name not in _OURS:
        return unmade
    own, options = _OURS[name]
    made = extractor(own)
    if not set(columns) <= set(made.columns):
        return unmade
    if steps:
        over_words = Steps(StepKind.WORDS, tuple(columns), most=most)
        return EncoderSpec(own, made.version, options=options, steps=over_words)
    pooling = tuple(f"{column}.mean" for column in columns)
    return EncoderSpec(own, made.version, pooling, options, tuple(columns))
