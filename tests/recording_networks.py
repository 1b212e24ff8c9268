"""A network over features that our extractors make of recordings: a linear graph, made without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion_bundles import linear_graph
from trivalent.bundle.calibration import VectorScaling
from trivalent.bundle.conformal import ConformalSets, Score
from trivalent.bundle.decision import Decision, DecisionRule
from trivalent.bundle.encoder import EncoderSpec
from trivalent.bundle.graphs import Graph
from trivalent.bundle.network import DataSpec, ModalitySpec, Network
from trivalent.core.types import FloatArray, Modality
from trivalent.features.cleaning import Cleaner
from trivalent.features.registry import extractor
from trivalent.lab.bundles import write_bundle

GRAPH = "network.onnx"
HEADS = 4
POOLING = {
    Modality.TEXT: ("minilm", tuple(f"minilm_{i}.mean" for i in range(384))),
    Modality.AUDIO: ("covarep", ("F0.mean_voiced", "F0.semitone_std_voiced", "MCEP_0.mean", "NAQ.p50")),
    Modality.FACE: (
        "face",
        ("mouthSmileLeft.mean", "browDownLeft.logit_mean", "pose_yaw.std", "fer_happy.max"),
    ),
}


def encoder(modality: Modality) -> EncoderSpec:
    """Say how the features of a modality are made."""
    name, pooling = POOLING[modality]
    return EncoderSpec(name, extractor(name).version, pooling)


def attending_graph(
    modalities: tuple[Modality, ...], *, attends: bool = True, scale: float | None = None
) -> bytes:
    """Make a linear graph in which each head has its liking; see `linear_graph`."""
    rng = np.random.default_rng(0)
    widths = {m: len(POOLING[m][1]) for m in modalities}
    matrices = {
        m: (rng.normal(size=(width, 3)) / np.sqrt(width)).astype(np.float32) for m, width in widths.items()
    }
    liking = rng.uniform(0.1, 1, (1, HEADS, len(modalities))).astype(np.float32) if attends else None
    return linear_graph(matrices, liking=liking, scale=scale)


def recording_network(
    modalities: tuple[Modality, ...] = tuple(Modality),
    *,
    attends: bool = True,
    whisper: str = "",
    scale: float | None = None,
) -> tuple[Network, bytes]:
    """Return a network and its graph."""
    content = attending_graph(modalities, attends=attends, scale=scale)
    specs = {}
    for m in modalities:
        names = POOLING[m][1]
        ones: FloatArray = np.ones(len(names))
        specs[m] = ModalitySpec(encoder(m), Cleaner(names, 0 * ones, 0 * ones, ones, clip=5.0))
    return (
        Network(
            Graph(lambda: content, name=GRAPH),
            specs,
            VectorScaling(np.full(3, 0.8), np.array([0.1, 0.0, -0.1])),
            DataSpec("made-up", "classes", "CC0", (0.2, 0.5, 0.3)),
            whisper,
        ),
        content,
    )


def recording_bundle(
    folder: Path,
    modalities: tuple[Modality, ...] = tuple(Modality),
    *,
    attends: bool = True,
    rule: DecisionRule | None = None,
    whisper: str = "",
    scale: float | None = None,
) -> Path:
    """Write a bundle and return its folder."""
    network, content = recording_network(modalities, attends=attends, whisper=whisper, scale=scale)
    sets = ConformalSets(np.array([0.7, np.inf, 0.8]), 0.1, Score.LAC, False, np.array([20, 20, 20]))
    write_bundle(
        folder,
        name="joined",
        experts={},
        fusion=network,
        decision=Decision(rule or DecisionRule(), 0.0, sets),
        card={"title": "made up"},
        metrics={},
        graphs={GRAPH: content},
    )
    return folder
