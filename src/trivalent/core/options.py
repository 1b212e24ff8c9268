"""What an analysis can be asked for: every option once, with its default and its bounds.

The command line, the service, the app, a batch's manifest, the jobs and the child processes all take
names, defaults and bounds from here. What only a bundle can judge (does it have the modality, are the
thresholds sound) is judged where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

from trivalent.core.errors import UsageError
from trivalent.core.types import LABELS, Modality


@dataclass(frozen=True)
class Bounds:
    """Least and greatest value of a number."""

    low: float
    high: float

    def check(self, value: float, *, named: str) -> None:
        """Refuse what lies outside.

        >>> Bounds(1, 1024).check(0, named="--threads")
        Traceback (most recent call last):
        ...
        trivalent.core.errors.UsageError: expected --threads between 1 and 1,024, got 0; change it

        Raises
        ------
        UsageError
        """
        if not self.low <= value <= self.high:  # also what is no number
            raise UsageError("decision.bounds", named=named, low=self.low, high=self.high, value=value)


FACE_RATES_HZ = Bounds(0.1, 60)
AUTO = "auto"  # as what the words are told to be
#: What words can be told to be in, by ISO 639-1.
LANGUAGES = (
    *("ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it"),
    *("ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "ur", "vi", "zh"),
)
THREADS = Bounds(1, 1024)
AUDIO_TRACKS = Bounds(1, 1000)
#: Options that no model has to run anew for: a finished analysis can be decided again by them.
DECIDING = ("thresholds", "min_confidence", "prior")


def check_prior(shares: Sequence[float]) -> None:
    """Refuse what is no mix of classes, all of which must be possible.

    >>> check_prior((0.3, 0.7, 0.0))
    Traceback (most recent call last):
    ...
    trivalent.core.errors.UsageError: expected three shares above 0 that sum to 1 ...

    Raises
    ------
    UsageError
    """
    possible = len(shares) == len(LABELS) and all(share > 0 for share in shares)
    if not possible or abs(sum(shares) - 1) > _ROUNDED:
        raise UsageError(
            "decision.prior", labels=",".join(LABELS), given=",".join(f"{share:g}" for share in shares)
        )


@dataclass(frozen=True)
class AnalyzerOptions:
    """What an `Analyzer` is made with, in a form that can be sent and stored.

    Attributes
    ----------
    model : str
        Name of an installed bundle, a folder or a .zip.
    modalities : tuple of str, optional
        Which to use; all that the bundle has by default.
    thresholds : three floats, optional
        Decision thresholds for negative, neutral, positive: the label is argmax p / tau.
    min_confidence : float, optional
        Abstain below this confidence.
    prior : three floats, optional
        Expected shares of negative, neutral, positive; the bundle's by default.
    whisper : str
        Speech recogniser, a size of `trivalent.speech.weights.SIZES`; the default comes with the package.
    language : str
        What the words are in, one of `LANGUAGES`; `auto` tells it for each utterance.
    face_rate_hz : float
        Frames looked at per second.
    audio_track : int, optional
        Number of the sound track of a recording, from 1 on; by default one in which people speak.
    threads : int
        Threads of each model.

    Raises
    ------
    UsageError
        A value is of another kind or out of its bounds, or no modality is named.
    """

    model: str = "default"
    modalities: tuple[str, ...] | None = None
    thresholds: tuple[float, ...] | None = None
    min_confidence: float | None = None
    prior: tuple[float, ...] | None = None
    whisper: str = "tiny.en"
    language: str = AUTO
    face_rate_hz: float = 5.0
    audio_track: int | None = None
    threads: int = 2

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds):
                raise UsageError("decision.option_kind", name=name, value=value)
        if self.modalities == ():
            raise UsageError("decision.modalities_none", modality=",".join(Modality))
        if self.prior is not None:
            check_prior(self.prior)
        if self.language not in (AUTO, *LANGUAGES):
            raise UsageError("decision.language", known=(AUTO, *LANGUAGES), value=self.language)
        FACE_RATES_HZ.check(self.face_rate_hz, named="face_rate_hz")
        THREADS.check(self.threads, named="threads")
        if self.audio_track is not None:
            AUDIO_TRACKS.check(self.audio_track, named="audio_track")

    def to_dict(self) -> dict[str, Any]:
        """Render as JSON knows it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AnalyzerOptions:
        """Read from JSON; keys of others are left alone, so that jobs of a newer version still run.

        >>> AnalyzerOptions.from_dict({"modalities": ["text"], "later": 1}).modalities
        ('text',)

        Raises
        ------
        UsageError
            As the class.
        """
        known: dict[str, Any] = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name, value in known.items():
            if isinstance(value, list):
                known[name] = tuple(value)
        return cls(**known)


_ROUNDED = 1e-5  # what a sum of shares may miss 1 by
_KINDS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "modalities": (tuple, type(None)),
    "thresholds": (tuple, type(None)),
    "min_confidence": (Real, type(None)),
    "prior": (tuple, type(None)),
    "whisper": (str,),
    "language": (str,),
    "face_rate_hz": (Real,),
    "audio_track": (Integral, type(None)),
    "threads": (Integral,),
}
