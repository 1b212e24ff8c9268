"""Large weights of a graph as int8: a quarter of the bytes, and no sample changes the answer to another.

Only what is stored changes. onnxruntime turns the weights into single precision as it opens the graph, and
computes in that, so that there is no scale of activations that a batch could move.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIN_WEIGHTS = 1 << 16  # of a matrix that is worth it
_LEVELS = 127


def compact_graph(content: bytes) -> bytes:
    """Store matrices of `MIN_WEIGHTS` and more as int8 with a scale for each column, or row of a table.

    Parameters
    ----------
    content : bytes
        A graph with its weights inside.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    kept, made = [], []
    for tensor in graph.initializer:
        matrix = tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
        if not matrix or np.prod(tensor.dims) < MIN_WEIGHTS:
            kept.append(tensor)
            continue
        weights, name = numpy_helper.to_array(tensor), tensor.name
        largest = np.abs(weights).max(axis=1 if name in tables else 0, keepdims=True)
        scale = np.maximum(largest, np.finfo(np.float32).tiny) / _LEVELS
        levels = np.rint(weights / scale).astype(np.int8)
        kept.append(numpy_helper.from_array(levels, f"{name}_levels"))
        kept.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        made.append(helper.make_node("Cast", [f"{name}_levels"], [f"{name}_cast"], to=TensorProto.FLOAT))
        made.append(helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]))
    nodes = [*made, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return model.SerializeToString(deterministic=True)


__all__ = ["MIN_WEIGHTS", "compact_graph"]
