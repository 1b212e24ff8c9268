"""Bundles of fusion networks: a folder (or .zip) of bundle.json and one ONNX graph, used without torch.

Not pickled, and every file's sha256 is checked. Pooled features of a data set go in, not
recordings: `trivalent evaluate` reads such a bundle, `trivalent analyze` does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.bundle.files import (
    FUSION,
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
from trivalent.bundle.graphs import check_self_contained
from trivalent.core.errors import BundleError, FeatureError
from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.types import LABELS, FloatArray, Modality
from trivalent.core.version import __version__
from trivalent.features.cleaning import Cleaner
from trivalent.lab.answering import Answering, Answers

if TYPE_CHECKING:
    import onnxruntime

FORMAT = FUSION
KIND = "fusion"
GRAPH = "network.onnx"
_CHUNK = 4096  # rows that go through the graph at once
_KEYS: dict[str, type] = {
    "kind": str,
    "name": str,
    "classes": list,
    "data": dict,
    "modalities": dict,
    "answering": dict,
    "metrics": dict,
    "card": dict,
    "files": dict,
}


@dataclass(frozen=True, eq=False)
class ModalitySpec:
    """What a bundle needs of a modality: the extractor, and how its columns are cleaned."""

    extractor: str
    cleaner: Cleaner


@dataclass(frozen=True)
class DataSpec:
    """What a bundle was trained on.

    Attributes
    ----------
    name, protocol, licence : str
    prior : tuple of float
        Shares of the classes in the training part.
    seen : tuple of str
        First 16 hexadecimal digits of the sha256 of every group (video, speaker) of the training
        and validation parts: so an evaluation can tell whether it meets them again.
    synthetic : bool
    """

    name: str
    protocol: str
    licence: str
    prior: tuple[float, ...]
    seen: tuple[str, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True, eq=False)
class FusionBundle:
    """A loaded bundle.

    Attributes
    ----------
    name : str
    data : DataSpec
    modalities : dict of Modality to ModalitySpec
        In the order of the graph's inputs.
    answering : Answering
        From logits to answers.
    metrics : dict
        Of the validation and the test part, with their protocol.
    card : dict
        What a reader needs to know, the recipe among it.
    graph : bytes
        ONNX.
    sha256 : str
        Of bundle.json; empty before it is saved.
    """

    name: str
    data: DataSpec
    modalities: dict[Modality, ModalitySpec]
    answering: Answering
    metrics: dict[str, Any]
    card: dict[str, Any]
    graph: bytes
    sha256: str = ""

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        import onnxruntime

        check_self_contained(self.graph, GRAPH)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            return onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            reason = str(error).splitlines()[0][:200]
            raise BundleError(
                f"expected an ONNX graph in {GRAPH}, got: {reason}; export it anew"
            ) from error

    def predict(self, features: Mapping[Modality, tuple[FloatArray, Sequence[str]]]) -> Answers:
        """Answer for samples.

        Parameters
        ----------
        features : mapping of Modality to (values, columns)
            Values of shape (n, len(columns)), as the extractor of the bundle pools them; more columns
            than needed may come, in any order. A row of NaN, or a modality that is left out, is
            absent.

        Returns
        -------
        Answers
            Probabilities (n, 3), decisions (n,), confidence, whether answered, prediction sets (n, 3).

        Raises
        ------
        FeatureError
            There is no modality of the bundle, numbers of samples differ, or a column is absent.
        """
        return self.answering.answer(self.logits(features))

    def logits(self, features: Mapping[Modality, tuple[FloatArray, Sequence[str]]]) -> FloatArray:
        """Return the logits before calibration, shape (n, 3); arguments as of `predict`."""
        blocks = self._cleaned(features)
        found = [np.zeros((0, len(LABELS)))]
        for start in range(0, len(next(iter(blocks.values()))), _CHUNK):
            inputs = {m: x[start : start + _CHUNK] for m, x in blocks.items()}
            found.append(self._session.run(["logits"], inputs)[0].astype(np.float64))
        return np.concatenate(found)

    def _cleaned(
        self, features: Mapping[Modality, tuple[FloatArray, Sequence[str]]]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the inputs of the graph by name."""
        used = {m: features[m] for m in self.modalities if m in features}
        lengths = {len(values) for values, _ in used.values()}
        if len(lengths) != 1:
            got = ", ".join(f"{m}: {len(x)}" for m, (x, _) in used.items()) or "none"
            raise FeatureError(
                f"expected features of {', '.join(self.modalities)} with one number of samples, got {got}; "
                "pass the same samples"
            )
        (count,) = lengths
        present = np.zeros((count, len(self.modalities)), np.float32)
        inputs: dict[str, NDArray[np.float32]] = {}
        for i, (m, spec) in enumerate(self.modalities.items()):
            x = np.full((count, len(spec.cleaner.columns)), np.nan, np.float32)
            if m in used:
                x, _ = spec.cleaner.apply(*used[m])
            present[:, i] = np.isfinite(x).any(axis=1)
            inputs[str(m)] = np.nan_to_num(x)
        return {"present": present} | inputs

    def save(self, folder: Path) -> FusionBundle:
        """Write the folder and return the bundle as it is loaded from there."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomic(folder / GRAPH, self.graph)
        manifest = {
            "format": FORMAT,
            "kind": KIND,
            "name": self.name,
            "trivalent": __version__,
            "classes": list(LABELS),
            "data": vars(self.data) | {"prior": list(self.data.prior), "seen": list(self.data.seen)},
            "modalities": {
                str(m): {"extractor": spec.extractor, "cleaner": spec.cleaner.to_dict()}
                for m, spec in self.modalities.items()
            },
            "answering": self.answering.to_dict(),
            "metrics": self.metrics,
            "card": self.card,
            "files": {GRAPH: hashlib.sha256(self.graph).hexdigest()},
        }
        write_text_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False) + "\n")
        return load_fusion_bundle(folder)


def load_fusion_bundle(where: str | Path) -> FusionBundle:
    """Load a bundle and check the sha256 of its files.

    Parameters
    ----------
    where : path
        A folder with bundle.json, the result folder of `trivalent train` around it, or a .zip.

    Raises
    ------
    BundleError
        Not found, of another kind, malformed or damaged.
    """
    found = locate(Path(where))
    if found is None:
        raise BundleError(
            f"expected a folder or .zip with {MANIFEST}, got {str(where)!r}; name the bundle that "
            "`trivalent train` wrote"
        )
    files = open_files(found)
    manifest = _parse(files)
    check_hashes(files, manifest["files"])
    if GRAPH not in manifest["files"]:
        raise BundleError(f"expected {GRAPH} among the hashed files of {found}, it is not listed")
    return FusionBundle(
        manifest["name"],
        _data_spec(manifest["data"], found),
        _modalities(manifest["modalities"], found),
        Answering.from_dict(manifest["answering"], where=str(found)),
        manifest["metrics"],
        manifest["card"],
        files.read(GRAPH),
        files.sha256(MANIFEST),
    )


def group_digest(group: str) -> str:
    """Shorten the name of a video or speaker to 16 hexadecimal digits.

    >>> group_digest("video 1")
    '3b857b8441d7c9e7'
    """
    return hashlib.sha256(group.encode("utf-8")).hexdigest()[:16]


def _parse(files: BundleFiles) -> dict[str, Any]:
    manifest = read_manifest(files)
    check_format(manifest, FORMAT, files.where)
    wrong = [key for key, kind in _KEYS.items() if not isinstance(manifest.get(key), kind)]
    if not wrong and not (0 < len(manifest["name"]) <= 200 and manifest["name"].isprintable()):
        wrong = ["a name of one line"]
    if wrong or manifest["kind"] != KIND or tuple(manifest["classes"]) != LABELS:
        raise BundleError(
            f"expected {', '.join(wrong) or f'kind {KIND!r} and classes {list(LABELS)}'} in {MANIFEST} of "
            f"{files.where}, got none or others; export the bundle anew"
        )
    return manifest


def _data_spec(content: Mapping[str, Any], folder: Path) -> DataSpec:
    try:
        spec = DataSpec(**content)
        prior = tuple(map(float, spec.prior))
        named = (str(spec.name), str(spec.protocol), str(spec.licence))
        found = DataSpec(*named, prior, tuple(map(str, spec.seen)), bool(spec.synthetic))
    except MALFORMED as error:
        raise BundleError(
            f"expected the keys of `data` in {folder}, got {cut(error)}; export it anew"
        ) from error
    if len(prior) != len(LABELS) or not np.isclose(sum(prior), 1) or min(prior) < 0:
        raise BundleError(f"expected a prior of three shares that sum to 1 in {folder}, got {prior}")
    return found


def _modalities(content: Mapping[str, Any], folder: Path) -> dict[Modality, ModalitySpec]:
    found = {}
    for key, entry in content.items():
        if key not in list(Modality) or not isinstance(entry, dict) or "extractor" not in entry:
            raise BundleError(
                f"expected modalities among {', '.join(Modality)} with extractor in {folder}, got {key!r}"
            )
        try:
            cleaner = Cleaner.from_dict(entry.get("cleaner", {}))
        except FeatureError as error:
            raise BundleError(f"expected a cleaner of {key} in {folder}: {error}") from error
        found[Modality(key)] = ModalitySpec(str(entry["extractor"]), cleaner)
    if not found:
        raise BundleError(f"expected a modality in {folder}, got none; export the bundle anew")
    return found
