"""A network as fusion: pooled features of all modalities through one ONNX graph.

A bundle that says how its features are made judges recordings. One that was trained on the features of a
data set judges those alone: `trivalent evaluate` asks it, `trivalent analyze` does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.files import MALFORMED, cut
from trivalent.bundle.fusion import (
    MIXED_ABOVE,
    Fused,
    FusionKind,
    Joint,
    Opinion,
    disagreement,
    is_distribution,
    joint_key,
)
from trivalent.bundle.graphs import Graph
from trivalent.core.errors import BundleError, FeatureError
from trivalent.core.types import LABELS, SCALE, FloatArray, Modality
from trivalent.features.cleaning import Cleaner

ATTENTION = "attention"  # output of a graph: (n, heads, modalities), sums to one over modalities
SCORE = "score"  # output of a graph: (n,), from -3 to 3
MAX_HEADS = 64  # all are written into every utterance
_ROUNDING = 1e-4  # of shares in single precision
STEPS = "_steps"  # after the name of a modality that is a sequence: which of its steps there are
_CHUNK = 4096  # rows that go through the graph at once, fewer of long sequences
_CELLS = 4_000_000  # of a modality at once
_LEAST_STEPS = 2  # a graph is written for sequences of two steps or more; a shorter one is padded
Block = tuple[FloatArray, Sequence[str]]  # values (n, len(columns)) or (n, steps, len(columns)), columns


@dataclass(frozen=True, eq=False)
class ModalitySpec:
    """What a network needs of a modality: how its features are made, and how they are cleaned."""

    encoder: EncoderSpec
    cleaner: Cleaner


@dataclass(frozen=True)
class DataSpec:
    """What a network was trained on.

    Attributes
    ----------
    name, protocol, licence : str
    prior : tuple of float
        Shares of the classes in the training part.
    seen : tuple of str
        First 16 hexadecimal digits of the sha256 of every group (video, speaker) of the training
        and validation parts: so an evaluation can tell whether it meets them again.
    synthetic : bool
    constants : tuple of float
        Mean and median of the annotated scores of the training part, which an evaluation judges beside a
        network that was trained on scores; empty of any other.
    """

    name: str
    protocol: str
    licence: str
    prior: tuple[float, ...]
    seen: tuple[str, ...] = ()
    synthetic: bool = False
    constants: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        content = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}
        return {k: v for k, v in content.items() if k != "constants" or v}


@dataclass(frozen=True, eq=False)
class Network:
    """A fusion network.

    Attributes
    ----------
    graph : Graph
        `present` (n, modalities) and the cleaned features by modality to `logits` (n, 3); maybe `score`
        (n,) and `attention`. The features of a modality are (n, d). Of a sequence they are (n, steps, d),
        and `text_steps` (n, steps) beside `text`, for instance, is 1 for a step that there is.
    modalities : dict of Modality to ModalitySpec
        In the order of the columns of `present`.
    calibration : VectorScaling
    data : DataSpec
    whisper : str
        Size of the model that wrote down what was said in training; empty: whatever the user chooses.
    expected : array, shape (3,), optional
        Shares of the classes in use; those of the training part by default.
    """

    kind: ClassVar[FusionKind] = FusionKind.NETWORK
    graph: Graph
    modalities: dict[Modality, ModalitySpec]
    calibration: VectorScaling
    data: DataSpec
    whisper: str = ""
    expected: FloatArray | None = None

    @property
    def prior(self) -> FloatArray:
        """Shares of the classes in use: what is left without any modality."""
        return np.array(self.data.prior) if self.expected is None else self.expected

    def expecting(self, prior: FloatArray) -> Network:
        """Return the same network where classes are as frequent as told."""
        return replace(self, expected=prior)

    @property
    def reads_recordings(self) -> bool:
        """Whether any of its modalities can be made of a recording."""
        return any(spec.encoder.from_recordings for spec in self.modalities.values())

    def joint(self, features: Mapping[Modality, FloatArray]) -> Joint:
        """Ask about one sample, with all of its modalities and with every part of them.

        Parameters
        ----------
        features : mapping of Modality to array, shape (statistics,) or (steps, statistics)
            NaN where there is no value.

        Raises
        ------
        BundleError
            The graph does not answer.
        """
        shown = [m for m in self.modalities if m in features]
        parts = [part for size in range(1, len(shown) + 1) for part in combinations(shown, size)]
        if not parts:
            return Joint()
        blocks: dict[Modality, Block] = {}
        for m in shown:
            own = np.asarray(features[m], np.float64)
            rows = np.tile(own, (len(parts), *[1] * own.ndim))
            rows[[m not in part for part in parts]] = np.nan
            blocks[m] = (rows, self.modalities[m].encoder.statistics)
        inputs = self._cleaned(blocks)
        probabilities = self.calibration.probabilities(self.graph.logits(inputs).astype(np.float64))
        attention = self._attention({name: x[-1:] for name, x in inputs.items()})
        scores = self._scores(inputs)
        return Joint(
            {joint_key(part): probabilities[i] for i, part in enumerate(parts)},
            {m: attention[m] for m in shown if m in attention},
            {} if scores is None else dict(zip(map(joint_key, parts), scores.tolist(), strict=True)),
        )

    def fuse(self, opinions: Mapping[Modality, Opinion], joint: Joint | None = None) -> Fused:
        """Read off what the network said of those modalities together, and what each of them changed.

        Raises
        ------
        BundleError
            Its answer to these modalities is not there.
        """
        answers = {} if joint is None else joint.probabilities

        def said(modalities: Sequence[Modality]) -> FloatArray:
            if not modalities:
                return self.prior
            if len(modalities) == 1:
                return self._in_use(opinions[modalities[0]].probabilities)
            if joint_key(modalities) not in answers:
                raise BundleError("bundle.joint_absent", modalities=joint_key(modalities))
            return self._in_use(answers[joint_key(modalities)])

        shown = [m for m in Modality if m in opinions]
        fused = said(shown)
        effects = {m: fused - said([other for other in shown if other is not m]) for m in shown}
        sizes = {m: float(np.abs(effect).sum()) for m, effect in effects.items()}
        total = sum(sizes.values())
        conflict = disagreement(list(opinions.values()))
        return Fused(
            fused,
            {m: size / total if total > 0 else 1 / len(shown) for m, size in sizes.items()},
            effects,
            conflict,
            conflict >= MIXED_ABOVE,
        )

    def _in_use(self, probabilities: FloatArray) -> FloatArray:
        """Move what was said of classes as frequent as in training to the shares in use."""
        if self.expected is None:
            return probabilities
        moved = probabilities * self.expected / np.maximum(self.data.prior, 1e-6)
        return moved / moved.sum()

    def _attention(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[Modality, tuple[float, ...]]:
        """Share of each modality in what the heads read of one sample; empty without attention."""
        if ATTENTION not in self.graph.outputs:
            return {}
        (shares,) = self.graph.run(inputs, [ATTENTION])
        shape = np.shape(shares)
        fits = len(shape) == 3 and shape[::2] == (1, len(self.modalities)) and 0 < shape[1] <= MAX_HEADS
        if not fits or not ((shares >= 0) & (shares < 1 + _ROUNDING)).all():  # nor NaN
            raise BundleError("bundle.attention_shape", name=self.graph.name, shape=shape)
        return {m: tuple(float(min(x, 1)) for x in shares[0, :, i]) for i, m in enumerate(self.modalities)}

    def _scores(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64] | None:
        """Score of each row; None of a network that has none."""
        if SCORE not in self.graph.outputs:
            return None
        (scores,) = self.graph.run(inputs, [SCORE])
        shape = np.shape(scores)
        fits = shape == (len(next(iter(inputs.values()))),)
        if not fits or not (np.abs(scores) <= SCALE).all():  # nor NaN
            raise BundleError("bundle.score_shape", name=self.graph.name, shape=shape)
        return scores.astype(np.float64)

    def scores(self, features: Mapping[Modality, Block]) -> NDArray[np.float64] | None:
        """Return scores of n samples, shape (n,), within [-3, 3]; None of a network that has none.

        Takes and raises what `posterior` does.
        """
        found = [self._scores(inputs) for inputs in self._chunks(features)]
        each = [scores for scores in found if scores is not None]
        return np.concatenate(each) if each else None

    def posterior(self, features: Mapping[Modality, Block]) -> FloatArray:
        """Return calibrated probabilities of n samples, shape (n, 3).

        Parameters
        ----------
        features : mapping of Modality to (values, columns)
            Values of shape (n, len(columns)), as the extractor of the bundle pools them; more columns
            than needed may come, in any order. A row of NaN, or a modality that is left out, is
            absent. Of sequences (n, steps, len(columns)), where a step of NaN is one that there is not.

        Raises
        ------
        BundleError
            The graph does not answer.
        FeatureError
            There is no modality of the bundle, numbers of samples differ, a column is absent, or vectors
            come where sequences are expected.
        """
        found = [np.zeros((0, len(LABELS)))]
        found += [self.graph.logits(inputs).astype(np.float64) for inputs in self._chunks(features)]
        return self.calibration.probabilities(np.concatenate(found))

    def _chunks(self, features: Mapping[Modality, Block]) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Cut the inputs of the graph, so that memory is bounded."""
        used = {m: features[m] for m in self.modalities if m in features}
        count = self._count(used)
        widest = max((values[0].size for values, _ in used.values() if len(values)), default=1)
        size = max(1, min(_CHUNK, _CELLS // max(1, widest)))
        for start in range(0, count, size):
            yield self._cleaned({m: (x[start : start + size], columns) for m, (x, columns) in used.items()})

    def _count(self, used: Mapping[Modality, Block]) -> int:
        """Count the samples, equally many of every modality."""
        lengths = {len(values) for values, _ in used.values()}
        if len(lengths) != 1:
            got = ", ".join(f"{m}: {len(x)}" for m, (x, _) in used.items()) or "none"
            raise FeatureError(
                "network_bundle.fusion_bundle_samples", modalities=list(self.modalities), got=got
            )
        return lengths.pop()

    def _cleaned(self, features: Mapping[Modality, Block]) -> dict[str, NDArray[np.float32]]:
        """Return the inputs of the graph by name."""
        count = self._count(features)
        present = np.zeros((count, len(self.modalities)), np.float32)
        inputs: dict[str, NDArray[np.float32]] = {}
        for i, (m, spec) in enumerate(self.modalities.items()):
            steps = () if spec.encoder.steps is None else (_LEAST_STEPS,)
            if m in features:
                x = _cleaned(features[m], spec, m)
            else:
                x = np.full((count, *steps, len(spec.cleaner.columns)), np.nan, np.float32)
            there = np.asarray(np.isfinite(x).any(axis=-1))
            inputs[str(m)] = np.nan_to_num(x)
            if steps:
                inputs[f"{m}{STEPS}"] = there.astype(np.float32)
            present[:, i] = there.reshape(count, -1).any(axis=1)
        return {"present": present} | inputs

    def to_dict(self) -> dict[str, Any]:
        """Render for bundle.json."""
        return {
            "kind": str(self.kind),
            "model": self.graph.name,
            "modalities": {
                str(m): {**spec.encoder.to_dict(), "cleaner": spec.cleaner.to_dict()}
                for m, spec in self.modalities.items()
            },
            **({"whisper": self.whisper} if self.whisper else {}),
            "calibration": self.calibration.to_dict(),
            "data": self.data.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, graph: Graph, where: str) -> Network:
        """Read from bundle.json, which names the graph.

        Raises
        ------
        BundleError
            A key is absent or a value is impossible.
        """
        lacking = [key for key in ("modalities", "calibration", "data") if key not in content]
        if lacking or not isinstance(content["modalities"], dict):
            raise BundleError(
                "bundle.network_lacking", lacking=", ".join(lacking) or "modalities", where=where
            )
        return cls(
            graph,
            _modalities(content["modalities"], where),
            VectorScaling.from_dict(content["calibration"], where=where),
            _data_spec(content["data"], where),
            str(content.get("whisper", "")),
        )


def _cleaned(block: Block, spec: ModalitySpec, modality: Modality) -> NDArray[np.float32]:
    """Clean a vector or a sequence for each sample, whichever the network reads; NaN where nothing is."""
    expected = 2 if spec.encoder.steps is None else 3
    if (given := np.ndim(block[0])) != expected:
        raise FeatureError("network_bundle.axes", modality=modality, expected=expected, given=given)
    x, _ = spec.cleaner.apply(*block)
    lacking = _LEAST_STEPS - x.shape[1] if expected == 3 else 0
    return np.pad(x, ((0, 0), (0, lacking), (0, 0)), constant_values=np.nan) if lacking > 0 else x


def group_digest(group: str) -> str:
    """Shorten the name of a video or speaker to 16 hexadecimal digits.

    >>> group_digest("video 1")
    '3b857b8441d7c9e7'
    """
    return hashlib.sha256(group.encode("utf-8")).hexdigest()[:16]


def _data_spec(content: Mapping[str, Any], where: str) -> DataSpec:
    try:
        spec = DataSpec(**content)
        prior = tuple(map(float, spec.prior))
        named = (str(spec.name), str(spec.protocol), str(spec.licence))
        constants = tuple(map(float, spec.constants))
        found = DataSpec(*named, prior, tuple(map(str, spec.seen)), bool(spec.synthetic), constants)
    except MALFORMED as error:
        raise BundleError("bundle.network_data", where=where, given=cut(error)) from error
    if not is_distribution(np.array(prior)):
        raise BundleError("bundle.network_prior", where=where, prior=prior)
    if len(constants) not in (0, 2) or not all(abs(x) <= SCALE for x in constants):
        raise BundleError("bundle.network_constants", where=where, given=constants[:3])
    return found


def _modalities(content: Mapping[str, Any], where: str) -> dict[Modality, ModalitySpec]:
    specs = {}
    for key, entry in content.items():
        if key not in list(Modality) or not isinstance(entry, dict) or "extractor" not in entry:
            raise BundleError(
                "bundle.network_modalities", modality=list(Modality), where=where, given=cut(key)
            )
        try:
            encoder = EncoderSpec.from_dict(entry)
        except FeatureError as error:
            raise BundleError("bundle.network_encoder", key=key, where=where, error=error) from error
        except MALFORMED as error:
            raise BundleError("bundle.spec_keys", where=f"{where}, {key}", given=cut(error)) from error
        try:
            cleaner = Cleaner.from_dict(entry.get("cleaner", {}))
        except FeatureError as error:
            raise BundleError("bundle.network_cleaner", key=key, where=where, error=error) from error
        except MALFORMED as error:
            raise BundleError("bundle.spec_keys", where=f"{where}, {key}", given=cut(error)) from error
        if encoder.from_recordings and not set(cleaner.columns) <= set(encoder.statistics):
            raise BundleError("bundle.encoder_columns", key=key, where=where)
        specs[Modality(key)] = ModalitySpec(encoder, cleaner)
    if not specs:
        raise BundleError("bundle.network_no_modality", where=where)
    return specs
