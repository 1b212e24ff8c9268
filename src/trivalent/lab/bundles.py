"""Bundles of either kind: of experts, which judge recordings, and of fusion networks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivalent.bundle.files import FUSION, locate, pack, read_manifest
from trivalent.bundle.loading import Bundle, load_bundle, open_bundle
from trivalent.core.errors import BundleError, UsageError
from trivalent.core.files import write_bytes_atomic
from trivalent.lab.fusion_bundle import FusionBundle, load_fusion_bundle


def load_any(where: str | Path) -> Bundle | FusionBundle:
    """Load a bundle by installed name, folder or .zip, whatever its kind.

    Raises
    ------
    BundleError
        Not found, malformed or damaged.
    """
    files = open_bundle(where)
    fusion = read_manifest(files).get("format") == FUSION
    return load_fusion_bundle(files.where) if fusion else load_bundle(files.where)


def describe(bundle: Bundle | FusionBundle) -> dict[str, Any]:
    """Tell what a bundle is, needs and can, as a JSON object."""
    if isinstance(bundle, Bundle):
        return {
            "name": bundle.name,
            "kind": "experts",
            "version": bundle.version,
            "sha256": bundle.sha256,
            **bundle.card,
        }
    data = bundle.data
    return {
        "name": bundle.name,
        "kind": "fusion",
        "sha256": bundle.sha256,
        "features": {
            str(m): {"extractor": spec.extractor, "columns": len(spec.cleaner.columns)}
            for m, spec in bundle.modalities.items()
        },
        "data": {"name": data.name, "protocol": data.protocol, "synthetic": data.synthetic},
        **bundle.card,
        "metrics": bundle.metrics,
    }


def find_bundles(place: Path) -> list[Path]:
    """Find the bundle at a place, else those directly below it.

    Raises
    ------
    BundleError
        There is none.
    """
    found = list(_candidates(place))
    if not found:
        raise BundleError(f"expected a bundle, or a folder of bundles, got {str(place)!r}; name another")
    return found


def _candidates(place: Path) -> Iterator[Path]:
    if locate(place) is not None:
        yield place
    elif place.is_dir():
        yield from (path for path in sorted(place.iterdir()) if locate(path) is not None)


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
        raise UsageError(f"expected a target that ends in .zip, got {str(target)!r}; for example model.zip")
    bundle, files = load_any(where), open_bundle(where)
    content = pack(files, read_manifest(files)["files"])
    with tempfile.TemporaryDirectory() as folder:
        copy = write_bytes_atomic(Path(folder) / "bundle.zip", content)
        if load_any(copy).sha256 != bundle.sha256:
            raise BundleError(f"expected a copy of {bundle.name}, got another; nobody must change it now")
    return write_bytes_atomic(target, content)
