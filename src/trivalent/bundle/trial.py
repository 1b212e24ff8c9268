"""Tries a bundle of unknown origin: `python -m trivalent.bundle.trial ARCHIVE FOLDER`.

The process limits its own memory and time, unpacks the archive into the folder, reads every graph for
references to other files before onnxruntime sees it, loads the bundle and asks each expert. It prints
one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivalent.bundle.archive import unpack
from trivalent.core.errors import BundleError, TrivalentError

MEMORY_MB = 4096  # of addresses
WRITABLE_MB = 1536  # as much as a child that answers for it is given
CPU_S = 120
MAX_STEPS = 1_500  # of an utterance of the greatest length, 15 s, at 100 a second
_DEPTH = 32

# Fields of onnx.proto that lead to tensors: (message, field number) -> message of the field.
_MESSAGES = {
    ("model", 7): "graph",
    ("model", 20): "training",
    ("model", 25): "function",
    ("training", 1): "graph",
    ("training", 2): "graph",
    ("function", 7): "node",
    ("function", 11): "attribute",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor


def check_self_contained(graph: bytes, name: str) -> None:
    """Refuse an ONNX file whose weights lie in other files.

    onnxruntime would open the named path wherever it leads, so the file is read here without it.

    Parameters
    ----------
    graph : bytes
        The whole file.
    name : str
        For the message.

    Raises
    ------
    BundleError
        A tensor lies elsewhere, or this is no ONNX file.
    """
    if graph[4:8] == b"ORTM":
        raise BundleError(f"expected ONNX, got onnxruntime's own format in {name}; export it as ONNX")
    try:
        inside = _refers(memoryview(graph), "model", _DEPTH)
    except (IndexError, ValueError) as error:
        raise BundleError(f"expected an ONNX file in {name}, got something else: {error}") from error
    if inside:
        raise BundleError(
            f"expected all weights inside {name}, got a reference to another file; "
            "export it without external data"
        )


def _refers(data: memoryview, message: str, depth: int) -> bool:
    if depth == 0:
        raise ValueError(f"messages nested more than {_DEPTH} deep")
    for field, value in _fields(data):
        if message == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            return True
        inner = _MESSAGES.get((message, field))
        if inner is not None and not isinstance(value, int) and _refers(value, inner, depth - 1):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a protocol-buffer message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == 0:
            value, at = _varint(data, at)
        else:
            fixed = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, at = _varint(data, at)
            elif fixed:
                size = fixed
            else:
                raise ValueError(f"wire type {wire}")
            if at + size > len(data):
                raise ValueError("a field is longer than the file")
            value, at = data[at : at + size], at + size
        yield field, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")


def examine(folder: Path) -> dict[str, str]:
    """Load a bundle and ask each of its experts; return its name, version and sha256.

    Raises
    ------
    BundleError
        It is malformed, has files that it does not list, refers to others, or does not answer.
    """
    from trivalent.bundle.loading import load_bundle

    listed = _listed(folder)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    if extra := sorted(found - listed - {"bundle.json"}):
        raise BundleError(f"expected only files that bundle.json lists, got {', '.join(extra[:5])} besides")
    for name in listed & found:
        check_self_contained((folder / name).read_bytes(), name)
    bundle = load_bundle(folder, threads=1)
    if not bundle.experts:
        raise BundleError("expected a bundle with at least one expert, got none")
    for modality, expert in bundle.experts.items():
        _ask(expert, modality)
    return {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}


def _listed(folder: Path) -> set[str]:
    """Names of the hashed files; whatever else is wrong is for `load_bundle` to tell."""
    try:
        manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    files = manifest.get("files") if isinstance(manifest, dict) else None
    return {str(name) for name in files} if isinstance(files, dict) else set()


def _ask(expert: Any, modality: str) -> None:
    """Pose made-up inputs, up to the longest; each answer must be a set of three probabilities."""
    import numpy as np

    from trivalent.bundle.loading import MIN_STEPS, Inputs
    from trivalent.features.text import MAX_TOKENS, encode, pad

    spec = expert.spec
    try:
        if spec.extractor == "minilm":
            longest = "good " * (2 * MAX_TOKENS)
            answer = np.concatenate([expert.from_tokens(*pad([ids])) for ids in encode(["good", longest])])
        elif spec.inputs is Inputs.FRAMES:
            channels = len(spec.channels)
            logits = [expert.run_frames(np.zeros((1, n, channels))) for n in (2 * MIN_STEPS, MAX_STEPS)]
            answer = expert.calibrate(np.concatenate(logits))
        else:
            answer = expert.calibrate(expert.run(np.zeros((2, len(spec.pooling)))))
    except BundleError:
        raise
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = str(error).splitlines()[0][:200]
        raise BundleError(f"expected an answer of the {modality} expert, got: {reason}") from error
    shape = np.shape(answer)
    if shape != (2, 3) or not np.isfinite(answer).all():
        raise BundleError(f"expected (2, 3) finite probabilities of {modality}, got shape {shape}")


def _limit_self() -> None:
    try:
        import resource
    except ImportError:  # not on Windows; the caller's time limit remains
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB << 20, MEMORY_MB << 20))
    resource.setrlimit(resource.RLIMIT_DATA, (WRITABLE_MB << 20, WRITABLE_MB << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Unpack and examine what the command line names."""
    _limit_self()
    archive, folder = map(Path, sys.argv[1:3])
    try:
        unpack(archive, folder)
        answer = examine(folder)
    except TrivalentError as error:
        answer = {"error": str(error).replace(str(folder.resolve()), "it").replace(str(folder), "it")}
    except Exception as error:  # whatever a hostile file provokes is the file's fault
        answer = {"error": f"expected a model bundle, got one that fails with {type(error).__name__}"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
