"""What a compression does: a small recipe with defaults, those of the shipped bundle `fast`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivalent.core.errors import RecipeError
from trivalent.lab.compress.distillation import DistillationConfig
from trivalent.lab.compress.student import StudentConfig
from trivalent.lab.compress.text import STUDENT, TextConfig
from trivalent.lab.compress.text import TRAINING as TEXT_TRAINING
from trivalent.lab.compress.transfer import TransferConfig
from trivalent.lab.compress.voice import TASK, TRAINING, VoiceConfig
from trivalent.lab.experts.frames_task import FramesTaskConfig
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.recipes import build, read_recipe

KIND = "compression"


@dataclass(frozen=True)
class CompressionRecipe:
    """A parsed recipe; what it does not say has the defaults of `TextConfig` and `VoiceConfig`.

    Attributes
    ----------
    kind : str
        `compression`.
    name : str
        Of the new bundle; by default the old one's with `-small`.
    version : str
    summary : str
        For the card.
    text, voice : mapping
        The face expert, a third of a megabyte and some microseconds, is kept as it is.
    """

    kind: str = KIND
    name: str = ""
    version: str = "1"
    summary: str = ""
    text: dict[str, Any] = field(default_factory=dict)
    voice: dict[str, Any] = field(default_factory=dict)

    def text_config(self) -> TextConfig:
        """Check and return what is done to the words."""
        return build(TextConfig, _filled(self.text, student=STUDENT, training=TEXT_TRAINING), where="text")

    def voice_config(self) -> VoiceConfig:
        """Check and return what is done to the voice."""
        return build(VoiceConfig, _filled(self.voice, task=TASK, training=TRAINING), where="voice")


def _filled(given: Mapping[str, Any], **defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a mapping within a recipe does not say."""
    wrong = [key for key in defaults if not isinstance(given.get(key, {}), Mapping)]
    if wrong:
        raise RecipeError("compress.keys", wrong=wrong[0], given=given[wrong[0]])
    return {**given, **{key: {**own, **given.get(key, {})} for key, own in defaults.items()}}


def load_compression(path: Path | None, *, overrides: Sequence[str] = ()) -> CompressionRecipe:
    """Read a recipe, or the defaults if there is none, and apply `key=value` overrides.

    Raises
    ------
    RecipeError
        The file cannot be read or has an unknown key or an impossible value.
    """
    return parse_compression(read_recipe(path, overrides=overrides), where=str(path or "--set"))


def parse_compression(content: Mapping[str, Any], *, where: str) -> CompressionRecipe:
    """Check the content of a recipe with everything in it, before anything is computed.

    Raises
    ------
    RecipeError
        An unknown key or an impossible value.
    """
    recipe = build(CompressionRecipe, content, where=where)
    if recipe.kind != KIND:
        raise RecipeError("compress.kind", kind=KIND, where=where, given=recipe.kind)
    text, voice = recipe.text_config(), recipe.voice_config()
    build(StudentConfig, text.student, where=f"{where}, text.student")
    build(TransferConfig, text.transfer, where=f"{where}, text.transfer")
    build(DistillationConfig, text.distillation, where=f"{where}, text.distillation")
    build(FramesTaskConfig, voice.task, where=f"{where}, voice.task")
    for own in (text, voice):
        build(TrainingConfig, own.training, where=f"{where}, training")
    return recipe
