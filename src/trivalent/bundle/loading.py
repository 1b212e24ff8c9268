"""Bundles of experts: a folder (or .zip) of `bundle.json` and ONNX graphs; never pickled.

The runtime only reads bundles; the lab writes them. A bundle names, for each modality, the
extractor it was made for, with version and columns; other columns are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.files import (
    EXPERTS,
    MALFORMED,
    MANIFEST,
    BundleFiles,
    check_format,
    check_hashes,
    cut,
    locate,
    open_files,
    read_manifest,
)
from trivalent.bundle.fusion import DecisionRule, FusionRule, softmax
from trivalent.bundle.graphs import check_self_contained
from trivalent.bundle.spec import ExpertSpec, Inputs, check_columns
from trivalent.core.assets import DATA
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.types import LABELS, FeatureTable, FloatArray, Modality
from trivalent.features.frames import frames, without_spectrum
from trivalent.features.pooling import pool

if TYPE_CHECKING:
    import onnxruntime

IntArray = NDArray[np.integer[Any]]
FORMAT = EXPERTS
INSTALLED = DATA / "bundles"
MIN_STEPS = 8  # of 20 ms: a graph over frames says nothing about less
_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "version": str,
    "classes": list,
    "modalities": dict,
    "fusion": dict,
    "thresholds": list,
    "min_confidence": (int, float),
    "card": dict,
    "files": dict,
}


class Expert:
    """One modality's model: pooled features, frames or token ids to calibrated probabilities."""

    def __init__(self, spec: ExpertSpec, read: Callable[[], bytes], *, threads: int) -> None:
        self.spec = spec
        self._read = read
        self._threads = threads

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        import onnxruntime

        graph = self._read()
        check_self_contained(graph, self.spec.model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; it need not be printed, too
        try:
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            reason = str(error).splitlines()[0][:200]
            raise BundleError(f"expected an ONNX graph in {self.spec.model}, got: {reason}") from error

    def _run(self, inputs: dict[str, NDArray[Any]], output: str = "logits") -> FloatArray:
        """Compute one output; a graph that does not know it, or the inputs, is no graph of ours."""
        session, expected = self._session, f"expected an answer of the {self.spec.extractor} expert"
        try:
            found = session.run([output], inputs)[0]
        except Exception as error:  # see `_session`
            reason = str(error).splitlines()[0][:200]
            raise BundleError(f"{expected} in {self.spec.model}, got: {reason}") from error
        shape = (len(next(iter(inputs.values()))), len(LABELS))
        if output == "logits" and np.shape(found) != shape:
            raise BundleError(
                f"{expected} in {self.spec.model} of shape {shape}, got {np.shape(found)}; train it again"
            )
        return found

    def calibrate(self, logits: FloatArray) -> FloatArray:
        """Turn logits (n, 3) into calibrated probabilities."""
        return softmax(np.asarray(logits, np.float64) / self.spec.temperature)

    def from_tokens(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Classify padded token ids, shape (n, tokens); returns (n, 3)."""
        return self.calibrate(self._run({"ids": ids, "mask": mask}))

    def embed(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Return the sentence vectors (n, width) of padded token ids, shape (n, tokens)."""
        if "sentence" not in {output.name for output in self._session.get_outputs()}:
            raise BundleError(
                f"expected an output 'sentence' of {self.spec.model}, found none; use the default bundle"
            )
        return self._run({"ids": ids, "mask": mask}, "sentence")

    def from_table(self, table: FeatureTable) -> tuple[FloatArray | None, int]:
        """Classify the table of one utterance, pooled or as frames.

        Returns
        -------
        probabilities : array, shape (3,), or None
            None when more than `max_missing` of the pooled statistics cannot be computed. With frames,
            when as many rows are digital silence, or there are fewer than `MIN_STEPS` steps.
        missing : int
            How many statistics were missing and replaced by the training mean. With frames, the rows
            of digital silence, if there is no answer for them.
        """
        if self.spec.inputs is Inputs.FRAMES:
            return self._from_frames(table)
        x = (pool(table, self.spec.pooling) - self.spec.mean) / self.spec.scale
        missing = ~np.isfinite(x)
        if missing.mean() > self.spec.max_missing:
            return None, int(missing.sum())
        x = np.where(missing, 0.0, np.clip(x, -self.spec.clip, self.spec.clip))
        return self.calibrate(self.run(x[None]))[0], int(missing.sum())

    def _from_frames(self, table: FeatureTable) -> tuple[FloatArray | None, int]:
        x = self.normalize_frames(frames(table, self.spec.channels))
        silent = without_spectrum(table)
        if len(x) < MIN_STEPS or silent.mean() > self.spec.max_missing:
            return None, int(silent.sum())
        return self.calibrate(self.run_frames(x[None]))[0], 0

    def normalize_frames(self, values: FloatArray) -> NDArray[np.float32]:
        """Scale and clip channels, shape (steps, channels), as in training."""
        x = (values - self.spec.mean) / self.spec.scale
        return np.clip(x, -self.spec.clip, self.spec.clip).astype(np.float32)

    def run_frames(self, x: FloatArray) -> FloatArray:
        """Return the logits (n, 3) of normalised frames (n, steps, channels), all of one length."""
        return self._run({"frames": x.astype(np.float32)})

    def run(self, features: FloatArray) -> FloatArray:
        """Return the logits (n, 3) of normalised pooled features (n, len(pooling))."""
        return self._run({"features": features.astype(np.float32)})


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded bundle."""

    name: str
    version: str
    sha256: str
    experts: dict[Modality, Expert]
    fusion: FusionRule
    decision: DecisionRule
    card: dict[str, Any]


def installed_bundles() -> list[str]:
    """Names of the bundles inside the package."""
    return sorted(p.parent.name for p in INSTALLED.glob("*/bundle.json"))


def load_bundle(where: str | Path, *, threads: int = 2) -> Bundle:
    """Load a bundle by installed name, folder or .zip.

    Graphs are read on first use. Every file's sha256 is checked against bundle.json.

    Raises
    ------
    BundleError
        Not found, malformed, damaged, or made for other feature columns.
    """
    files = open_bundle(where)
    folder, manifest = files.where, _parse(files)
    check_hashes(files, manifest["files"])
    experts = {}
    for key, entry in manifest["modalities"].items():
        if key not in list(Modality):
            raise BundleError(
                f"expected modalities among {', '.join(Modality)} in {folder}, got {cut(key)!r}"
            )
        spec = ExpertSpec.from_dict(entry, where=f"{folder}, modality {key}")
        if spec.model not in manifest["files"]:
            raise BundleError(
                f"expected {cut(spec.model)} among the hashed files of {folder}, it is not listed"
            )
        check_columns(spec, key)
        experts[Modality(key)] = Expert(spec, _Reading(files, spec.model), threads=threads)
    return Bundle(
        manifest["name"],
        manifest["version"],
        files.sha256(MANIFEST),
        experts,
        FusionRule.from_dict(manifest["fusion"]),
        _decision(manifest, str(folder)),
        manifest["card"],
    )


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


def bundle_name(where: str | Path) -> str:
    """Return the name that a bundle gives itself; its other files are not looked at.

    Raises
    ------
    BundleError
        Not found or malformed.
    """
    name: str = _parse(open_bundle(where))["name"]
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
    found = locate(Path(where))
    if found is None:
        names = ", ".join(installed_bundles()) or "none"
        raise BundleError(
            f"expected the name of an installed bundle ({names}) or a folder or .zip with {MANIFEST}, "
            f"got {str(where)!r}"
        )
    return open_files(found)


def _parse(files: BundleFiles) -> dict[str, Any]:
    manifest, where = read_manifest(files), files.where
    check_format(manifest, FORMAT, where)
    absent = [key for key in _KEYS if key not in manifest]
    if absent:
        raise BundleError(f"expected the keys {', '.join(absent)} in {MANIFEST} of {where}")
    wrong = [key for key, kind in _KEYS.items() if not isinstance(manifest[key], kind)]
    if wrong:
        raise BundleError(f"expected other types of values for {', '.join(wrong)} in {MANIFEST} of {where}")
    if tuple(manifest["classes"]) != LABELS:
        raise BundleError(f"expected classes {list(LABELS)} in {where}, got {cut(manifest['classes'])}")
    if not all(
        0 < len(manifest[key]) <= 200 and manifest[key].isprintable() for key in ("name", "version")
    ):
        raise BundleError(f"expected a name and a version of one line in {MANIFEST} of {where}")
    return manifest


def _decision(manifest: dict[str, Any], where: str) -> DecisionRule:
    try:
        negative, neutral, positive = map(float, manifest["thresholds"])
        return DecisionRule((negative, neutral, positive), manifest["min_confidence"])
    except (*MALFORMED, UsageError) as error:
        raise BundleError(
            f"expected valid thresholds and min_confidence in {where}: {cut(error)}"
        ) from error


@dataclass(frozen=True)
class _Reading:
    files: BundleFiles
    name: str

    def __call__(self) -> bytes:
        return self.files.read(self.name)


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
    "load_bundle",
    "open_bundle",
]
