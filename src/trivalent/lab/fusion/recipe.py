"""Recipes of kind `fusion`: everything that a run of a fusion network depends on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trivalent.bundle.encoder import EncoderSpec
from trivalent.core.errors import DataError, RecipeError
from trivalent.core.types import Modality
from trivalent.features.tokens import NAME as TOKENS
from trivalent.lab.datasets.dataset import Dataset
from trivalent.lab.datasets.entry import Entry
from trivalent.lab.datasets.own import OwnOptions
from trivalent.lab.datasets.own_features import OwnFeatures
from trivalent.lab.datasets.own_training import check_classes, usable_modalities
from trivalent.lab.datasets.recordings import FeaturePlan
from trivalent.lab.datasets.registry import find_dataset
from trivalent.lab.datasets.root import data_root
from trivalent.lab.datasets.text_features import lacks_features, with_text_features
from trivalent.lab.decide.answering import AnsweringConfig
from trivalent.lab.decide.conformal_split import ConformalSplit
from trivalent.lab.fit.losses import LOSSES, loss_options
from trivalent.lab.fit.training import TrainingConfig
from trivalent.lab.fusion.seed_training import PAPER_TRAINING, System, check_sequences
from trivalent.lab.fusion.target import Target
from trivalent.lab.named_choices import check_known
from trivalent.lab.networks import NETWORKS
from trivalent.lab.networks.registry import check_reads_tokens, network_options
from trivalent.lab.problems.classification import Problem, make_problem
from trivalent.lab.problems.cleaning import CleaningConfig
from trivalent.lab.problems.resampling import check_resampling
from trivalent.lab.recipes import build

log = logging.getLogger(__name__)
KIND = "fusion"
_OF_A_MEMBER = (
    *("network", "network_options", "loss", "loss_options", "resampling", "resampling_options"),
    *("modality_dropout", "mixup", "training"),
)


@dataclass(frozen=True)
class FusionRecipe:
    """A parsed recipe; names are checked at once, before any data are read.

    Attributes
    ----------
    kind : str
        fusion.
    name : str
    data : str
        A data set of `trivalent data list`, or the path of your own .csv or .pkl.
    features, label_map : mapping
        Of your own .csv: see `OwnFeatures` (a data set brings its own features); what your labels mean,
        each to negative, neutral or positive.
    protocol : str
        The data set's first one if empty.
    modalities : tuple of str
        Those with features if empty. Of your own .csv those that recordings have.
    cleaning : mapping
        See `CleaningConfig`.
    network, loss : str
    network_options, loss_options : mapping
    resampling : str
    resampling_options : mapping
    modality_dropout, mixup : float
        See `System`.
    task : mapping
        See `Target`: three classes, a score from -3 to 3, or seven classes of it.
    training : mapping
        See `TrainingConfig`; what is left out is as in `PAPER_TRAINING`.
    members : tuple of mapping
        Systems that vote (probabilities are averaged by weight): what each has another than the recipe, of
        network, loss, resampling, modality_dropout, mixup and training, with their options.
    vote : tuple of float
        Their weights; searched on validation if empty.
    seeds : tuple of int
        Their logits are averaged in the bundle.
    calibration, decision : str
    answered, coverage : float
        See `AnsweringConfig`.
    conformal_split : str
        Whether half of the validation groups serves the prediction sets alone, without which their
        coverage is approximate; see `ConformalSplit`.
    allow_synthetic : bool
        Train on features that were drawn at random: to test capacity, never accuracy.
    """

    name: str
    data: str
    kind: str = KIND
    features: Mapping[str, Any] = field(default_factory=dict)
    label_map: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = ""
    modalities: tuple[str, ...] = ()
    cleaning: Mapping[str, Any] = field(default_factory=dict)
    network: str = "attention"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    resampling: str = "unchanged"
    resampling_options: Mapping[str, Any] = field(default_factory=dict)
    modality_dropout: float = 0.0
    mixup: float = 0.0
    task: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Mapping[str, Any], ...] = ()
    vote: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    calibration: str = "temperature"
    decision: str = "argmax"
    answered: float = 1.0
    coverage: float = 0.9
    conformal_split: str = "auto"
    allow_synthetic: bool = False

    def __post_init__(self) -> None:
        check_known("network", self.network, NETWORKS)
        check_known("loss", self.loss, LOSSES)
        check_resampling(self.resampling, self.resampling_options)
        check_known("conformal_split", self.conformal_split, ConformalSplit)
        for modality in self.modalities:
            check_known("modality", modality, Modality)
        for key in self.network_options:
            check_known(f"option of the network {self.network}", key, network_options(self.network))
        for key in self.loss_options:
            check_known(f"option of the loss {self.loss}", key, loss_options(self.loss))
        if self.label_map and not self.own:
            raise RecipeError("recipe.own_alone", key="label_map", data=self.data)
        distinct = len(set(self.seeds)) == len(self.seeds) > 0
        if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in self.seeds):
            raise RecipeError("recipe.seeds", name=self.name, seeds=list(self.seeds))

    @property
    def own(self) -> bool:
        """Whether the data are a table of your own recordings."""
        return self.data.lower().endswith(".csv")

    @property
    def answering(self) -> AnsweringConfig:
        """What is chosen on validation data after training."""
        return AnsweringConfig(self.calibration, self.decision, self.answered, self.coverage)

    def cleaning_config(self) -> CleaningConfig:
        """Return how features are cleaned."""
        return build(CleaningConfig, self.cleaning, where=f"cleaning of {self.name}")

    def training_config(self) -> TrainingConfig:
        """Return the hyper-parameters of the loop."""
        content = asdict(PAPER_TRAINING) | dict(self.training)
        return build(TrainingConfig, content, where=f"training of {self.name}")

    @property
    def target(self) -> Target:
        """What the network learns to tell."""
        return build(Target, self.task, where=f"task of {self.name}")

    def system(self) -> System:
        """Return what is trained."""
        return System(
            self.network,
            self.network_options,
            self.loss,
            self.loss_options,
            self.resampling,
            self.resampling_options,
            self.modality_dropout,
            self.mixup,
            self.training_config(),
            self.target,
        )

    def features_config(self) -> OwnFeatures:
        """Return what is extracted of your own recordings."""
        return build(OwnFeatures, self.features, where=f"features of {self.name}")

    @cached_property
    def words(self) -> EncoderSpec:
        """How features of words are made; vectors of a file are read for it, once."""
        return self.features_config().words()

    @cached_property
    def plan(self) -> FeaturePlan:
        """What is extracted, with the encoders that the bundle will name; nothing of other data sets."""
        chosen = tuple(map(Modality, self.modalities)) or tuple(Modality)
        return self.features_config().plan(chosen) if self.own else FeaturePlan(whisper="")

    def systems(self) -> tuple[System, ...]:
        """Return the members of the vote, or the one system that is trained.

        Raises
        ------
        RecipeError
            A member has a key that is none of a system, or weights do not fit.
        """
        for member in self.members:
            for key in member:
                check_known("key of a member", key, _OF_A_MEMBER)
        fits = all(isinstance(w, int | float) and w >= 0 for w in self.vote) and sum(self.vote) > 0
        if len(self.members) == 1 or (self.vote and not (fits and len(self.vote) == len(self.members))):
            count, given = len(self.members), ", ".join(map(str, self.vote)) or "none"
            raise RecipeError("recipe.vote", name=self.name, count=count, given=given)
        parts = [replace(self, members=(), vote=(), **member) for member in self.members] or [self]
        return tuple(part.system() for part in parts)

    def entry(self) -> Entry:
        """Return the data set."""
        if not self.own:
            entry = find_dataset(self.data)
            return _over_steps(entry) if self.features_config().steps else entry
        options = OwnOptions(
            label_map=self.label_map,
            plan=self.plan,
            workers=self.features_config().workers,
            check=self._check_own,
        )
        return find_dataset(self.data, own=options)

    def _check_own(self, data: Dataset) -> None:
        """Refuse before hours of extraction what cannot be trained on."""
        check_classes(data)
        lacking = int((~np.isfinite(data.scores)).sum())
        if self.target.scores and lacking:
            raise DataError("training.no_scores", lacking=lacking, count=len(data), role=data.name)

    def encoders(self, problem: Problem) -> Mapping[Modality, EncoderSpec]:
        """Return how the features of its problem were made, as far as this recipe had them made."""
        if self.own:
            return self.plan.encoders
        cleaner = problem.cleaners.get(Modality.TEXT)
        config = self.features_config()
        if cleaner is None or problem.sequences or problem.extractors[Modality.TEXT] != config.text:
            return {}
        made = set(cleaner.columns) <= set(self.words.statistics)
        return {Modality.TEXT: self.words} if made else {}

    def problem(self, root: Path | None = None) -> Problem:
        """Read the data and split, clean and guard them.

        Parameters
        ----------
        root : Path, optional
            Data root, else $TRIVALENT_DATA; your own .csv or .pkl needs none.

        Raises
        ------
        DataError
            The data are absent or not as known, or synthetic without `allow_synthetic`; your own have
            one class, or no modality that can be trained on.
        """
        own_file = self.own or self.data.lower().endswith(".pkl")
        data = self.entry().read(Path() if own_file else data_root(root), self.protocol or None)
        if (
            not self.own
            and (not self.modalities or Modality.TEXT in self.modalities)
            and lacks_features(data)
        ):
            data = with_text_features(data, self.words, glove_file=self.features_config().vectors)
        if data.synthetic and not self.allow_synthetic:
            raise DataError("recipe.synthetic", name=data.name)
        chosen = tuple(map(Modality, self.modalities))
        if self.own:
            for label in check_classes(data):
                log.warning("%s: no training sample is %s: the model will hardly say so", data.name, label)
            chosen = usable_modalities(data, chosen)
        return make_problem(data, modalities=chosen or None, cleaning=self.cleaning_config())


def _over_steps(entry: Entry) -> Entry:
    """Keep the protocols of a data set whose features are sequences."""
    kept = tuple(protocol for protocol in entry.protocols if protocol.sequences)
    if not kept:
        raise RecipeError("recipe.no_sequences", data=entry.name)
    return replace(entry, protocols=kept)


def parse_fusion(data: Mapping[str, Any], *, where: str) -> FusionRecipe:
    """Check a mapping as a recipe; an unknown key or choice raises and names the nearest one.

    Examples
    --------
    >>> parse_fusion({"name": "demo", "data": "mosei", "lss": "focal"}, where="demo")
    Traceback (most recent call last):
    ...
    trivalent.core.errors.RecipeError: expected a key of FusionRecipe in demo, got 'lss'; ...
    """
    recipe = build(FusionRecipe, data, where=where)
    # so that they are checked
    recipe.answering, recipe.cleaning_config(), recipe.systems(), recipe.features_config()
    if recipe.features_config().text == TOKENS:
        for system in recipe.systems():
            check_reads_tokens(system.network)
    if steps := recipe.features_config().steps:
        for system in recipe.systems():
            check_sequences(system, [f"features.steps={steps}"])
    return recipe
