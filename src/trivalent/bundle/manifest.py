"""bundle.json of a bundle of either kind, read as version 2 (docs/bundles.md)."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivalent.bundle.files import MANIFEST, BundleFiles, cut, read_manifest
from trivalent.bundle.fusion import FusionKind
from trivalent.core.errors import BundleError
from trivalent.core.types import LABELS

FORMAT = "trivalent.bundle/2"
NETWORK_1 = "trivalent.fusion-bundle/1"
Types = dict[str, type | tuple[type, ...]]
_EITHER: Types = {"name": str, "classes": list, "card": dict, "files": dict}
_KEYS: dict[str, Types] = {
    FORMAT: {
        **_EITHER,
        "version": str,
        "experts": dict,
        "fusion": dict,
        "decision": dict,
        "metrics": dict,
    },
    NETWORK_1: {
        **_EITHER,
        "kind": str,
        "data": dict,
        "modalities": dict,
        "answering": dict,
        "metrics": dict,
    },
}


def parse(files: BundleFiles, *, kind: FusionKind | None = None) -> dict[str, Any]:
    """Read bundle.json as version 2; what lies under `experts`, `fusion` and `decision` is not looked at.

    Parameters
    ----------
    files : BundleFiles
    kind : FusionKind, optional
        Of the fusion that is wanted.

    Raises
    ------
    BundleError
        It is malformed, or the fusion is of another kind; says what such a bundle is for.
    """
    written, where = read_manifest(files), files.where
    keys = _KEYS.get(written["format"]) if isinstance(written.get("format"), str) else None
    if keys is None:
        raise BundleError(
            "bundle.manifest_format",
            format=FORMAT,
            manifest=MANIFEST,
            where=where,
            found=reprlib.repr(written.get("format")),
        )
    manifest = upgraded(written)
    if kind is not None:
        _check_kind(manifest, kind, where)
    _check_keys(written, keys, where)
    if tuple(manifest["classes"]) != LABELS:
        raise BundleError(
            "bundle.classes", labels=list(LABELS), where=where, given=cut(manifest["classes"])
        )
    if not all(
        0 < len(manifest[key]) <= 200 and manifest[key].isprintable() for key in ("name", "version")
    ):
        raise BundleError("bundle.name_line", manifest=MANIFEST, where=where)
    if manifest["fusion"].get("kind") not in list(FusionKind):
        raise BundleError(
            "bundle.fusion_kind",
            kinds=" or ".join(FusionKind),
            manifest=MANIFEST,
            where=where,
            found=reprlib.repr(manifest["fusion"].get("kind")),
        )
    return manifest


def upgraded(written: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite a network's manifest of version 1 as one of version 2; whatever it holds."""
    if written["format"] == FORMAT:
        return dict(written)
    common = {key: written.get(key) for key in ("name", "trivalent", "classes", "card", "files")}
    answering, kind = _object(written, "answering"), written.get("kind")
    return {
        **common,
        "version": "1",
        "experts": {},
        "fusion": {
            "kind": FusionKind.NETWORK if kind == "fusion" else kind,
            "model": "network.onnx",
            "modalities": written.get("modalities"),
            "calibration": answering.get("calibration"),
            "data": written.get("data"),
        },
        "decision": {
            **_object(answering, "decision"),
            "min_confidence": answering.get("min_confidence"),
            "sets": answering.get("conformal"),
        },
        "metrics": written.get("metrics"),
    }


def _object(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _check_keys(written: Mapping[str, Any], keys: Types, where: Path) -> None:
    absent = [key for key in keys if key not in written]
    if absent:
        raise BundleError("bundle.keys_absent", absent=list(absent), manifest=MANIFEST, where=where)
    wrong = [key for key, kind in keys.items() if not isinstance(written[key], kind)]
    if wrong:
        raise BundleError("bundle.key_types", wrong=list(wrong), manifest=MANIFEST, where=where)


def _check_kind(manifest: Mapping[str, Any], wanted: FusionKind, where: Path) -> None:
    fusion, name = _object(manifest, "fusion"), cut(manifest.get("name"))
    kind = fusion.get("kind")
    if kind == wanted or kind not in list(FusionKind):
        return
    if kind == FusionKind.NETWORK:
        raise BundleError("bundle.not_experts", where=where, name=name, features=_features(fusion))
    raise BundleError("bundle.not_network", where=where, name=name)


def _features(fusion: Mapping[str, Any]) -> str:
    """Name extractors and numbers of columns, as far as they are told."""
    told = []
    for name, entry in _object(fusion, "modalities").items():
        own = entry if isinstance(entry, dict) else {}
        columns = _object(own, "cleaner").get("columns")
        count = f" ({len(columns)} columns)" if isinstance(columns, list) else ""
        told.append(f"{name} by {cut(own.get('extractor'))!r}{count}")
    return cut(", ".join(told)) or "of no modality"
