"""Bundles: a folder (or .zip) of `bundle.json` and ONNX graphs; never pickled.

The runtime only reads bundles; the lab writes them. A bundle has experts, a fusion and a decision, and
names for each modality the extractor that it was made for, with its columns; other columns are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.decision import Decision, DecisionKind
from trivalent.bundle.encoder import check_encoder
from trivalent.bundle.files import MANIFEST, BundleFiles, check_hashes, cut, find_bundle, open_files
from trivalent.bundle.fusion import Fusion, FusionKind, Opinion, Pool, heard, softmax
from trivalent.bundle.graphs import Graph
from trivalent.bundle.manifest import FORMAT, parse
from trivalent.bundle.network import Network
from trivalent.bundle.spec import ExpertSpec, Inputs, check_columns
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError
from trivalent.core.types import FeatureTable, FloatArray, IntArray, Modality
from trivalent.features.cleaning import Cleaner
from trivalent.features.extractor import Encoder
from trivalent.features.frames import LEVELS, frames, level_of_frames, spoken
from trivalent.features.levels import Level
from trivalent.features.pooling import asks_level, level_of_statistics, pool

INSTALLED = DATA / "bundles"
MIN_STEPS = 8  # of 20 ms: a graph over frames says nothing about less
F = TypeVar("F", bound=Fusion[Any], covariant=True)


class Expert:
    """One modality's model: pooled features, frames or token ids to calibrated probabilities."""

    def __init__(self, spec: ExpertSpec, read: Callable[[], bytes], *, threads: int) -> None:
        self.spec = spec
        self._graph = Graph(read, name=spec.model, role=f"the {spec.extractor} expert", threads=threads)
        names = spec.channels or spec.pooling
        self._cleaner = Cleaner(names, fill=spec.mean, mean=spec.mean, scale=spec.scale, clip=spec.clip)

    def calibrate(self, logits: FloatArray) -> FloatArray:
        """Turn logits (n, 3) into calibrated probabilities."""
        return softmax(np.asarray(logits, np.float64) / self.spec.temperature)

    def opinion(self, probabilities: FloatArray, reliability: float) -> Opinion:
        """Say what calibrated probabilities, shape (3,), are worth beside those of other experts."""
        spec = self.spec
        return heard(probabilities, prior=spec.prior, strength=spec.strength, reliability=reliability)

    def from_tokens(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Classify padded token ids, shape (n, tokens); returns (n, 3)."""
        return self.calibrate(self._graph.logits({"ids": ids, "mask": mask}))

    def embed(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Return the sentence vectors (n, width) of padded token ids, shape (n, tokens)."""
        if "sentence" not in self._graph.outputs:
            raise BundleError("bundle.no_sentence", model=self.spec.model)
        (vectors,) = self._graph.run({"ids": ids, "mask": mask}, ["sentence"])
        return vectors

    def from_table(self, table: FeatureTable, level: Level | None = None) -> tuple[FloatArray | None, int]:
        """Classify the table of one utterance, pooled or as frames, in a recording of that level.

        Returns
        -------
        probabilities : array, shape (3,), or None
            None when more than `max_missing` of the pooled statistics cannot be computed. With frames,
            when fewer than `MIN_STEPS` steps are not digital silence.
        missing : int
            How many statistics were missing and replaced by the training mean. With frames, the rows
            of digital silence, if there is no answer for the others.
        """
        if self.spec.inputs is Inputs.FRAMES:
            return self._from_frames(table, level)
        pooled = pool(table, self.spec.pooling, level=level)
        missing = ~np.isfinite(pooled)
        if missing.mean() > self.spec.max_missing:
            return None, int(missing.sum())
        return self.calibrate(self.run(self.normalize_pooled(pooled[None])))[0], int(missing.sum())

    def level(self, table: FeatureTable) -> Level | None:
        """Measure the level of one utterance; the mean over a recording is what `from_table` takes.

        None if no input tells of it.
        """
        if self.spec.inputs is Inputs.FRAMES:
            channels = self.spec.channels
            return level_of_frames(table, channels) if set(channels) & set(LEVELS) else None
        names = self.spec.pooling
        return level_of_statistics(table, names) if asks_level(names) else None

    def _from_frames(self, table: FeatureTable, level: Level | None) -> tuple[FloatArray | None, int]:
        x = self.normalize_frames(frames(table, self.spec.channels, level=level))
        if len(x) < MIN_STEPS:
            return None, len(table) - len(spoken(table))
        return self.calibrate(self.run_frames(x[None]))[0], 0

    def normalize_pooled(self, values: FloatArray) -> NDArray[np.float32]:
        """Scale and clip statistics, shape (n, len(pooling)), as in training; 0 where there is none."""
        return np.nan_to_num(self._cleaner.apply(values, self.spec.pooling)[0])

    def normalize_frames(self, values: FloatArray) -> NDArray[np.float32]:
        """Scale and clip channels, shape (steps, channels), as in training."""
        return self._cleaner.apply(values, self.spec.channels)[0]

    def run_frames(self, x: FloatArray) -> FloatArray:
        """Return the logits (n, 3) of normalised frames (n, steps, channels), all of one length."""
        return self._graph.logits({"frames": x.astype(np.float32)})

    def run(self, features: FloatArray) -> FloatArray:
        """Return the logits (n, 3) of normalised pooled features (n, len(pooling))."""
        return self._graph.logits({"features": features.astype(np.float32)})


@dataclass(frozen=True, eq=False)
class Bundle(Generic[F]):
    """A loaded bundle.

    Attributes
    ----------
    name, version : str
    sha256 : str
        Of bundle.json.
    experts : dict of Modality to Expert
        Empty if the fusion is a network over features.
    fusion : Pool or Network
    decision : Decision
    card : dict
        What a reader needs to know.
    metrics : dict
        Figures of training and validation, with their protocol.
    """

    name: str
    version: str
    sha256: str
    experts: dict[Modality, Expert]
    fusion: F
    decision: Decision
    card: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those that it judges."""
        judged = self.fusion.modalities if isinstance(self.fusion, Network) else self.experts
        return tuple(m for m in Modality if m in judged)


def installed_bundles() -> list[str]:
    """Names of the bundles inside the package."""
    return sorted(p.parent.name for p in INSTALLED.glob("*/bundle.json"))


def load_bundle(where: str | Path, *, threads: int = 2) -> Bundle[Pool] | Bundle[Network]:
    """Load a bundle that judges recordings, by installed name, folder or .zip.

    Graphs are read on first use. Every file's sha256 is checked against bundle.json.

    Raises
    ------
    BundleError
        Not found, malformed, damaged, made for other feature columns, or a network over features that
        no extractor makes.
    """
    bundle = load_any(where, threads=threads)
    if isinstance(bundle.fusion, Network):
        if not bundle.fusion.reads_recordings:
            features = ", ".join(
                f"{m} by {cut(spec.encoder.extractor)!r} ({len(spec.cleaner.columns)} columns)"
                for m, spec in bundle.fusion.modalities.items()
            )
            raise BundleError("bundle.not_experts", where=where, name=bundle.name, features=cut(features))
        for modality, spec in bundle.fusion.modalities.items():
            if spec.encoder.from_recordings:
                check_encoder(spec.encoder, modality)
    return bundle


def load_pool(where: str | Path, *, threads: int = 2) -> Bundle[Pool]:
    """Load a bundle of experts; otherwise as `load_bundle`. A network is refused."""
    return _load(open_bundle(where), FusionKind.POOL, threads)


def load_network(where: str | Path, *, threads: int = 2) -> Bundle[Network]:
    """Load a bundle whose fusion is a network; otherwise as `load_any`."""
    return _load(open_bundle(where), FusionKind.NETWORK, threads)


def load_any(where: str | Path, *, threads: int = 2) -> Bundle[Pool] | Bundle[Network]:
    """Load a bundle whatever it judges; otherwise as `load_bundle`."""
    return _load(open_bundle(where), None, threads)


def _load(files: BundleFiles, kind: FusionKind | None, threads: int) -> Bundle[Any]:
    manifest, where = parse(files, kind=kind), str(files.where)
    check_hashes(files, manifest["files"])
    experts = {}
    for key, entry in manifest["experts"].items():
        if key not in list(Modality):
            raise BundleError(
                "bundle.expert_modalities", modality=list(Modality), where=where, given=cut(key)
            )
        spec = ExpertSpec.from_dict(entry, where=f"{where}, modality {key}")
        check_columns(spec, key)
        experts[Modality(key)] = Expert(spec, _reader(files, manifest, spec.model), threads=threads)
    fusion: Pool | Network
    if manifest["fusion"]["kind"] == FusionKind.POOL:
        fusion = Pool.from_dict(manifest["fusion"])
    else:
        name = manifest["fusion"].get("model")
        graph = Graph(_reader(files, manifest, name), name=name, threads=threads)
        fusion = Network.from_dict(manifest["fusion"], graph=graph, where=where)
    return Bundle(
        manifest["name"],
        manifest["version"],
        files.sha256(MANIFEST),
        experts,
        fusion,
        _decision(manifest, where),
        manifest["card"],
        manifest["metrics"],
    )


def _reader(files: BundleFiles, manifest: dict[str, Any], name: Any) -> Callable[[], bytes]:
    """Return what reads a graph, if its content is among the hashed."""
    if not isinstance(name, str) or name not in manifest["files"]:
        raise BundleError("bundle.not_hashed", given=cut(name), where=files.where)
    return partial(files.read, name)


def _decision(manifest: dict[str, Any], where: str) -> Decision:
    decision = Decision.from_dict(manifest["decision"], where=where)
    if manifest["fusion"]["kind"] == FusionKind.POOL and decision.rule.kind is not DecisionKind.RATIO:
        raise BundleError(
            "bundle.pool_decision", ratio=DecisionKind.RATIO, where=where, kind=decision.rule.kind
        )
    return decision


def fingerprint(where: str | Path) -> str:
    """Tell one content of a bundle from another, so that one that was replaced is loaded again.

    Of a folder the sha256 of its manifest, which lists those of all other files; of a .zip its time and
    size; empty for what is no bundle.
    """
    for manifest in (INSTALLED / where / MANIFEST, Path(where) / MANIFEST):
        if manifest.is_file():
            return hashlib.sha256(manifest.read_bytes()).hexdigest()
    path = Path(where)
    return f"{path.stat().st_mtime_ns} {path.stat().st_size}" if path.is_file() else ""


@lru_cache(maxsize=1)
def sentence_encoder() -> Encoder:
    """Return what makes sentence vectors of token ids: the text expert of the default bundle.

    Raises
    ------
    BundleError
        The default bundle has none.
    """
    bundle = load_pool("default")
    if Modality.TEXT not in bundle.experts:
        raise BundleError("extract.no_text_expert")
    return bundle.experts[Modality.TEXT].embed


def bundle_name(where: str | Path) -> str:
    """Return the name that a bundle gives itself; its other files are not looked at.

    Raises
    ------
    BundleError
        Not found or malformed.
    """
    name: str = parse(open_bundle(where))["name"]
    return name


def open_bundle(where: str | Path) -> BundleFiles:
    """Open the files of a bundle of any kind by installed name, folder or .zip.

    Raises
    ------
    BundleError
        Not found, or no .zip that can be read.
    """
    if isinstance(where, str) and where in installed_bundles():
        return open_files(INSTALLED / where)
    found = find_bundle(Path(where))
    if found is None:
        names = ", ".join(installed_bundles()) or "none"
        raise BundleError("bundle.unknown_place", names=names, manifest=MANIFEST, where=where)
    return open_files(found)


__all__ = [
    "FORMAT",
    "INSTALLED",
    "MIN_STEPS",
    "Bundle",
    "Expert",
    "ExpertSpec",
    "Inputs",
    "fingerprint",
    "installed_bundles",
    "load_any",
    "load_bundle",
    "load_network",
    "load_pool",
    "open_bundle",
    "sentence_encoder",
]
