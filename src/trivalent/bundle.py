"""Model bundles: a folder (or .zip) of `bundle.json` and ONNX graphs; never pickled.

The runtime only reads bundles; the lab writes them. A bundle names, for each modality, the
extractor it was made for, with version and columns; other columns are refused.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.assets import sha256_of
from trivalent.assets.registry import PACKAGE_ROOT
from trivalent.errors import BundleError, UsageError
from trivalent.expert_spec import ExpertSpec, Inputs, check_columns
from trivalent.features.frames import frames, without_spectrum
from trivalent.features.pooling import pool
from trivalent.fusion import DecisionRule, FusionRule, softmax
from trivalent.types import LABELS, FeatureTable, FloatArray, Modality

if TYPE_CHECKING:
    import onnxruntime

IntArray = NDArray[np.integer[Any]]
FORMAT = "trivalent.bundle/1"
INSTALLED = PACKAGE_ROOT / "bundles"
MIN_STEPS = 8  # of 20 ms: a graph over frames says nothing about less
_MAX_FILE = 512 * 2**20
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

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(self._read(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            reason = str(error).splitlines()[0][:200]
            raise BundleError(f"expected an ONNX graph in {self.spec.model}, got: {reason}") from error

    def calibrate(self, logits: FloatArray) -> FloatArray:
        """Turn logits (n, 3) into calibrated probabilities."""
        return softmax(np.asarray(logits, np.float64) / self.spec.temperature)

    def from_tokens(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Classify padded token ids, shape (n, tokens); returns (n, 3)."""
        return self.calibrate(self._session.run(["logits"], {"ids": ids, "mask": mask})[0])

    def embed(self, ids: IntArray, mask: IntArray) -> FloatArray:
        """Return the sentence vectors (n, width) of padded token ids, shape (n, tokens)."""
        if "sentence" not in {output.name for output in self._session.get_outputs()}:
            raise BundleError(
                f"expected an output 'sentence' of {self.spec.model}, found none; use the default bundle"
            )
        return self._session.run(["sentence"], {"ids": ids, "mask": mask})[0]

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
        return self._session.run(["logits"], {"frames": x.astype(np.float32)})[0]

    def run(self, features: FloatArray) -> FloatArray:
        """Return the logits (n, 3) of normalised pooled features (n, len(pooling))."""
        return self._session.run(None, {"features": features.astype(np.float32)})[0]


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
    folder = _locate(where)
    reader = _ZipReader(folder) if folder.is_file() else _FolderReader(folder)
    manifest = _parse(reader.read("bundle.json"), str(folder))
    for name, expected in manifest["files"].items():
        actual = reader.sha256(name)
        if actual != expected:
            raise BundleError(
                f"expected {name} with sha256 {expected[:12]}..., got {actual[:12]}... in {folder}; "
                "the bundle is damaged: install it again"
            )
    experts = {}
    for key, entry in manifest["modalities"].items():
        if key not in list(Modality):
            raise BundleError(f"expected modalities among {', '.join(Modality)} in {folder}, got {key!r}")
        spec = ExpertSpec.from_dict(entry, where=f"{folder}, modality {key}")
        if spec.model not in manifest["files"]:
            raise BundleError(f"expected {spec.model} among the hashed files of {folder}, it is not listed")
        check_columns(spec, key)
        experts[Modality(key)] = Expert(spec, _Reading(reader, spec.model), threads=threads)
    return Bundle(
        manifest["name"],
        manifest["version"],
        reader.sha256("bundle.json"),
        experts,
        FusionRule.from_dict(manifest["fusion"]),
        _decision(manifest, str(folder)),
        manifest["card"],
    )


def _locate(where: str | Path) -> Path:
    if isinstance(where, str) and (INSTALLED / where / "bundle.json").is_file():
        return INSTALLED / where
    path = Path(where)
    if (path / "bundle.json").is_file() or (path.is_file() and zipfile.is_zipfile(path)):
        return path
    names = ", ".join(installed_bundles()) or "none"
    raise BundleError(
        f"expected the name of an installed bundle ({names}) or a folder or .zip with bundle.json, "
        f"got {str(where)!r}"
    )


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        manifest = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique_keys)
    except (UnicodeDecodeError, ValueError) as error:
        raise BundleError(f"expected JSON in bundle.json of {where}, got: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(f"expected format {FORMAT!r} in bundle.json of {where}, got {found!r}")
    absent = [key for key in _KEYS if key not in manifest]
    if absent:
        raise BundleError(f"expected the keys {', '.join(absent)} in bundle.json of {where}")
    wrong = [key for key, kind in _KEYS.items() if not isinstance(manifest[key], kind)]
    if wrong:
        raise BundleError(
            f"expected other types of values for {', '.join(wrong)} in bundle.json of {where}"
        )
    if tuple(manifest["classes"]) != LABELS:
        raise BundleError(f"expected classes {list(LABELS)} in {where}, got {manifest['classes']}")
    return manifest


def _decision(manifest: dict[str, Any], where: str) -> DecisionRule:
    try:
        negative, neutral, positive = map(float, manifest["thresholds"])
        return DecisionRule((negative, neutral, positive), manifest["min_confidence"])
    except (TypeError, ValueError, UsageError) as error:
        raise BundleError(f"expected valid thresholds and min_confidence in {where}: {error}") from error


def _unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"duplicate keys {sorted({k for k in keys if keys.count(k) > 1})}")
    return dict(pairs)


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def path(self, name: str) -> Path:
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise BundleError(
                f"expected files inside {self.folder}, got the path {name!r}; do not use this bundle"
            )
        if not path.is_file() or path.stat().st_size > _MAX_FILE:
            raise BundleError(
                f"expected a file of at most {_MAX_FILE >> 20} MB at {name!r} in {self.folder}"
            )
        return path

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def sha256(self, name: str) -> str:
        return sha256_of(self.path(name))


class _ZipReader:
    """Reads members without extracting: no path can leave the archive."""

    def __init__(self, path: Path) -> None:
        self.file = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.members = {i.filename: i for i in archive.infolist()}
        except (zipfile.BadZipFile, OSError) as error:
            raise BundleError(
                f"expected a readable .zip, got {path}: {error}; get the bundle again"
            ) from error

    def read(self, name: str) -> bytes:
        info = self.members.get(name)
        if info is None or info.file_size > _MAX_FILE:
            raise BundleError(f"expected a member {name!r} of at most {_MAX_FILE >> 20} MB in {self.file}")
        try:
            with zipfile.ZipFile(self.file) as archive, archive.open(info) as stream:
                # The size in the header is a claim; a zip bomb is cut off here.
                data = stream.read(_MAX_FILE + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
            raise BundleError(
                f"expected a readable member {name!r} in {self.file}, got: {error}"
            ) from error
        if len(data) > _MAX_FILE:
            raise BundleError(f"expected at most {_MAX_FILE >> 20} MB in member {name!r} of {self.file}")
        return data

    def sha256(self, name: str) -> str:
        import hashlib

        return hashlib.file_digest(io.BytesIO(self.read(name)), "sha256").hexdigest()


@dataclass(frozen=True)
class _Reading:
    reader: _FolderReader | _ZipReader
    name: str

    def __call__(self) -> bytes:
        return self.reader.read(self.name)


__all__ = [
    "FORMAT",
    "INSTALLED",
    "MIN_STEPS",
    "Bundle",
    "Expert",
    "ExpertSpec",
    "Inputs",
    "installed_bundles",
    "load_bundle",
]
