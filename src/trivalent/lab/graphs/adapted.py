"""The graph of an expert with a linear layer on top: its own nodes, and a few behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, helper, numpy_helper

from trivalent.bundle.spec import Inputs
from trivalent.core.types import FloatArray

_LOGITS = "logits"


def adapt_graph(
    content: bytes, takes: Inputs, *, slope: float, weights: FloatArray, bias: FloatArray
) -> bytes:
    """Have a graph answer slope * logits + weights @ encoding + bias.

    Parameters
    ----------
    content : bytes
        Answers `logits`, shape (n, 3); of token ids `sentence`, too.
    takes : Inputs
        What the graph takes, and thereby what its encoding is: the sentence vector, the statistics, or
        the means and then the deviations of the channels of frames.
    slope : float
    weights : array, shape (3, width)
    bias : array, shape (3,)
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    taken = {name for node in graph.node for name in node.output}
    tag = next(name for i in range(len(taken) + 1) if (name := f"adapter{i}_expert") not in taken)
    tag = tag.removesuffix("_expert")
    _rename(graph, _LOGITS, f"{tag}_expert")
    if takes is Inputs.FRAMES:
        encoding = _statistics(graph, tag)
    else:
        encoding = "sentence" if takes is Inputs.TOKENS else "features"
    constants = {"slope": np.array(slope), "weights": weights.T, "bias": bias}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), f"{tag}_{name}"))
    _add(graph, "Mul", [f"{tag}_expert", f"{tag}_slope"], f"{tag}_scaled")
    _add(graph, "MatMul", [encoding, f"{tag}_weights"], f"{tag}_moved")
    _add(graph, "Add", [f"{tag}_moved", f"{tag}_bias"], f"{tag}_layer")
    _add(graph, "Add", [f"{tag}_scaled", f"{tag}_layer"], _LOGITS)
    return model.SerializeToString(deterministic=True)


def _statistics(graph: GraphProto, tag: str) -> str:
    """Append mean and deviation over the steps, by what is alike in all versions of the operators."""
    _add(graph, "Transpose", ["frames"], f"{tag}_channels", perm=[0, 2, 1])  # (n, channels, steps)
    _add(graph, "GlobalAveragePool", [f"{tag}_channels"], f"{tag}_mean")  # (n, channels, 1)
    _add(graph, "Sub", [f"{tag}_channels", f"{tag}_mean"], f"{tag}_centred")
    _add(graph, "Mul", [f"{tag}_centred"] * 2, f"{tag}_squared")
    _add(graph, "GlobalAveragePool", [f"{tag}_squared"], f"{tag}_variance")
    _add(graph, "Sqrt", [f"{tag}_variance"], f"{tag}_deviation")
    _add(graph, "Concat", [f"{tag}_mean", f"{tag}_deviation"], f"{tag}_statistics", axis=1)
    _add(graph, "Flatten", [f"{tag}_statistics"], f"{tag}_encoding", axis=1)
    return f"{tag}_encoding"


def _add(graph: GraphProto, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
    name = f"{output}_of_{len(graph.node)}"  # unlike that of a layer below
    graph.node.append(helper.make_node(kind, inputs, [output], name=name, **attributes))


def _rename(graph: GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
