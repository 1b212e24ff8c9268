"""What a caller may choose; light, as the command line and every bundle need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Variant = Literal["head", "legacy"]


@dataclass(frozen=True)
class CovarepOptions:
    """Options of `covarep`, which explains them."""

    rd: Variant = field(default="head", metadata={"help": "version of Rd"})
    seed: int = field(default=0, metadata={"help": "seed of the random phases", "metavar": "N"})
    creak_weights: Path | None = field(
        default=None, metadata={"help": "the toolbox's own creak network", "metavar": "DIR"}
    )
    strict: bool = field(default=False, metadata={"help": "the toolbox's zeros, no gaps"})
