"""Bundles written, described, found and exported, whatever their fusion."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trivalent.bundle.decision import Decision
from trivalent.bundle.files import MANIFEST, find_bundle, zipped
from trivalent.bundle.fusion import Pool
from trivalent.bundle.loading import Bundle, load_any, open_bundle
from trivalent.bundle.manifest import FORMAT, parse
from trivalent.bundle.network import ModalitySpec, Network
from trivalent.bundle.spec import ExpertSpec
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.files import write_bytes_atomic, write_text_atomic
from trivalent.core.types import LABELS, Modality
from trivalent.core.version import __version__


def write_bundle(
    folder: Path,
    *,
    name: str,
    version: str = "1",
    experts: Mapping[Modality, ExpertSpec],
    fusion: Pool | Network,
    decision: Decision,
    card: Mapping[str, Any],
    metrics: Mapping[str, Any],
    graphs: Mapping[str, bytes],
    compressed_from: Mapping[str, str] | None = None,
) -> None:
    """Write the folder of a bundle, and load it to see that it is one.

    Parameters
    ----------
    graphs : mapping of str to bytes
        Content of every file that experts and fusion name.
    compressed_from : mapping of str to str, optional
        Name, version and sha256 of the bundle that it was made of.

    Raises
    ------
    BundleError
        What was given makes no bundle.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in graphs.items():
        write_bytes_atomic(folder / file, content)
    manifest = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "trivalent": __version__,
        **({} if compressed_from is None else {"compressed_from": compressed_from}),
        "classes": list(LABELS),
        "experts": {str(m): spec.to_dict() for m, spec in experts.items()},
        "fusion": fusion.to_dict(),
        "decision": decision.to_dict(),
        "card": card,
        "metrics": metrics,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in graphs.items()},
    }
    write_text_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False) + "\n")
    load_any(folder)


def describe(bundle: Bundle[Pool] | Bundle[Network]) -> dict[str, Any]:
    """Tell what a bundle is, needs and can, as a JSON object."""
    fusion = bundle.fusion
    if isinstance(fusion, Pool):
        return {
            "name": bundle.name,
            "kind": "experts",
            "version": bundle.version,
            "sha256": bundle.sha256,
            "seen": {str(m): list(e.spec.seen) for m, e in bundle.experts.items() if e.spec.seen},
            **bundle.card,
        }
    data = fusion.data
    return {
        "name": bundle.name,
        "kind": "fusion",
        "version": bundle.version,
        "sha256": bundle.sha256,
        "judges": "recordings" if fusion.reads_recordings else "features of a data set",
        "features": {str(m): _told(spec) for m, spec in fusion.modalities.items()},
        **({"whisper": fusion.whisper} if fusion.whisper else {}),
        "data": {"name": data.name, "protocol": data.protocol, "synthetic": data.synthetic},
        **bundle.card,
        "metrics": bundle.metrics,
    }


def _told(spec: ModalitySpec) -> dict[str, Any]:
    """Name the extractor of a modality, its version where it makes features here, and count these."""
    encoder = spec.encoder
    version = {"version": encoder.version} if encoder.from_recordings else {}
    return {"extractor": encoder.extractor, **version, "columns": len(spec.cleaner.columns)}


def find_bundles(place: Path) -> list[Path]:
    """Find the bundle at a place, else those directly below it.

    Raises
    ------
    BundleError
        There is none.
    """
    found = list(_candidates(place))
    if not found:
        raise BundleError("bundle.place", place=place)
    return found


def _candidates(place: Path) -> Iterator[Path]:
    if find_bundle(place) is not None:
        yield place
    elif place.is_dir():
        yield from (path for path in sorted(place.iterdir()) if find_bundle(path) is not None)


def export_bundle(where: str | Path, target: Path) -> Path:
    """Write a bundle of either kind as a .zip, the same bytes at any time and on any machine.

    The archive is loaded before it gets its name.

    Parameters
    ----------
    where : str or path
        Installed name, folder or .zip.
    target : Path
        Ends in .zip.

    Raises
    ------
    BundleError
        Not found, malformed or damaged.
    UsageError
        The target is no .zip.
    """
    if target.suffix.lower() != ".zip":
        raise UsageError("bundle.zip_target", target=target)
    bundle, files = load_any(where), open_bundle(where)
    content = zipped(files, parse(files)["files"])
    with tempfile.TemporaryDirectory() as folder:
        copy = write_bytes_atomic(Path(folder) / "bundle.zip", content)
        if load_any(copy).sha256 != bundle.sha256:
            raise BundleError("bundle.copy", name=bundle.name)
    return write_bytes_atomic(target, content)
