"""Torch modules as ONNX graphs: one way to write them, and one to hold them against torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from trivalent.bundle.graphs import Graph
from trivalent.core.errors import BundleError

OPSET = 18
TOLERANCE = 1e-3  # of a logit


def write_graph(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    inputs: Sequence[str],
    shapes: Any,
    outputs: Sequence[str] = ("logits",),
) -> None:
    """Write a graph without a trace of the machine that exports.

    Parameters
    ----------
    module : nn.Module
        In evaluation.
    example : tuple of Tensor
        Arguments of its forward pass.
    path : Path
    inputs, outputs : sequence of str
        Names in the graph.
    shapes : as `dynamic_shapes` of `torch.onnx.export`
        Which axes may have other lengths.
    """
    # It warns of torchvision, which is not needed.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="# The axis name: .* will not be used")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        torch.onnx.export(
            module,
            example,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    drop_traces(path)


def drop_traces(path: Path) -> None:
    """Drop the exporter's stack traces: they name the files of the machine that exported."""
    model = onnx.load(path)
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer]
    for part in [*parts, *model.graph.input, *model.graph.output, *model.functions]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def check_graph(path: Path, module: nn.Module, examples: Iterable[Mapping[str, Tensor]]) -> None:
    """Hold a graph against the module that it was written from.

    Parameters
    ----------
    path : Path
    module : nn.Module
    examples : iterable of mapping of str to Tensor
        Inputs by their names in the graph, in the order of the module's arguments; other lengths than
        those that the graph was written with.

    Raises
    ------
    BundleError
        An output differs by more than `TOLERANCE`.
    """
    graph = Graph(path.read_bytes, name=path.name)
    for example in examples:
        with torch.inference_mode():
            expected = module(*example.values())
        found = graph.run({name: x.numpy() for name, x in example.items()}, graph.outputs)
        pairs = zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True)
        error = max(float(np.abs(own - wanted.numpy()).max()) for own, wanted in pairs)
        if not error <= TOLERANCE:
            raise BundleError("network.export_differs", name=path.name, error=error)
