"""Tries a bundle of unknown origin: `python -m trivalent.bundle.trial ARCHIVE FOLDER`.

The process limits its own memory and time, unpacks the archive into the folder, reads every graph for
references to other files before onnxruntime sees it, loads the bundle and asks each expert, or the network.
It prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trivalent.bundle.archive import unpack
from trivalent.bundle.graphs import check_self_contained
from trivalent.core.errors import BundleError, TrivalentError
from trivalent.core.messages import Message

if TYPE_CHECKING:
    from trivalent.bundle.encoder import EncoderSpec
    from trivalent.bundle.network import Network

MEMORY_MB = 4096  # of addresses
WRITABLE_MB = 1536  # as much as a child that answers for it is given
CPU_S = 120
MAX_STEPS = 1_500  # of an utterance of the greatest length, 15 s, at 100 a second
MADE_UP = (0.0, 1.0, -1e4)  # features that a network is asked about


def examine(folder: Path) -> dict[str, str]:
    """Load a bundle and ask each of its experts, or its network; return its name, version and sha256.

    Raises
    ------
    BundleError
        It is malformed, has files that it does not list, refers to others, or does not answer.
    """
    from trivalent.bundle.loading import load_bundle
    from trivalent.bundle.network import Network

    listed = _listed(folder)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    if extra := sorted(found - listed - {"bundle.json"}):
        raise BundleError("shelf.trial_extra_files", extra=extra[:5])
    for name in listed & found:
        check_self_contained((folder / name).read_bytes(), name)
    bundle = load_bundle(folder, threads=1)
    if not bundle.modalities:
        raise BundleError("shelf.trial_no_expert")
    if isinstance(bundle.fusion, Network):
        _ask_network(bundle.fusion)
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
        if spec.takes is Inputs.TOKENS:
            longest = "good " * (2 * MAX_TOKENS)
            answer = np.concatenate([expert.from_tokens(*pad([ids])) for ids in encode(["good", longest])])
        elif spec.takes is Inputs.FRAMES:
            channels = len(spec.channels)
            logits = [expert.run_frames(np.zeros((1, n, channels))) for n in (2 * MIN_STEPS, MAX_STEPS)]
            answer = expert.calibrate(np.concatenate(logits))
        else:
            answer = expert.calibrate(expert.run(np.zeros((2, len(spec.pooling)))))
    except BundleError:
        raise
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = str(error).splitlines()[0][:200]
        raise BundleError("shelf.trial_answer", modality=modality, reason=reason) from error
    shape = np.shape(answer)
    if shape != (2, 3) or not np.isfinite(answer).all():
        raise BundleError("shelf.trial_probabilities", modality=modality, shape=shape)


def _ask_network(network: Network) -> None:
    """Pose made-up features of every subset of its modalities; each answer is three probabilities."""
    import numpy as np

    asked = {m: spec.encoder for m, spec in network.modalities.items() if spec.encoder.from_recordings}
    for value in MADE_UP:
        joint = network.joint({m: np.full(_shape(encoder), value) for m, encoder in asked.items()})
        for modalities, answer in joint.probabilities.items():
            if not np.isfinite(answer).all():
                raise BundleError("shelf.trial_network", modalities=modalities)


def _shape(encoder: EncoderSpec) -> tuple[int, ...]:
    """Of the features of an utterance, of the longest one if they are a sequence."""
    steps = () if encoder.steps is None else (encoder.steps.most,)
    return (*steps, len(encoder.statistics))


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
        answer: dict[str, Any] = examine(folder)
    except TrivalentError as error:
        message = error.message.renamed(folder.resolve(), "it").renamed(folder, "it")
        answer = {"error": message.to_dict()}
    except Exception as error:  # whatever a hostile file provokes is the file's fault
        answer = {"error": Message("shelf.trial_fails", kind=type(error).__name__).to_dict()}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
