"""The weights of a bundle's graphs, read back: a bundle is all that compression needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from trivalent.core.errors import BundleError

Weights = dict[str, NDArray[np.float32]]
_SCALING = ("Mul", "Cast", "DequantizeLinear")  # between an integer product and its bias


def read_weights(data: bytes, *, where: str) -> Weights:
    """Read the named weights of a graph, int8 ones as the floats that they stand for.

    The exporter keeps the names of biases but not those of the matrices beside them, which it
    transposes. A matrix is therefore named after the bias that is added to its product, and has the
    shape (outputs, inputs) as in torch.

    Parameters
    ----------
    data : bytes
        An ONNX graph that `trivalent.lab.graphs.experts` wrote.
    where : str
        Its name, for messages.

    Raises
    ------
    BundleError
        It is no ONNX graph.
    """
    try:
        graph = onnx.load_from_string(data).graph
    except Exception as error:  # protobuf raises classes of its own
        raise BundleError("compress.graph", where=where, error=error) from error
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights: Weights = {}
    for name in stored:
        base = name.removesuffix("_quantized")
        if base != name or stored[name].dtype == np.float32:
            weights[base] = _floats(base, stored)
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        bias = next((name for name in node.input if name.endswith(".bias") and name in stored), None)
        matrix = None if node.op_type != "Add" or bias is None else _matrix(node, bias, made_by)
        if bias is not None and matrix is not None:
            weights[bias.removesuffix("bias") + "weight"] = np.ascontiguousarray(_floats(matrix, stored).T)
    return weights


def _matrix(node: onnx.NodeProto, bias: str, made_by: Mapping[str, onnx.NodeProto]) -> str | None:
    """Name the matrix whose product the bias is added to."""
    name = next(other for other in node.input if other != bias)
    while (maker := made_by.get(name)) is not None:
        if maker.op_type in ("MatMul", "MatMulInteger"):
            return maker.input[1].removesuffix("_quantized")
        if maker.op_type not in _SCALING:
            return None
        name = maker.input[0]
    return None


def _floats(name: str, stored: Mapping[str, NDArray]) -> NDArray[np.float32]:
    if name in stored:
        return np.array(stored[name], np.float32)
    values, scale = stored[f"{name}_quantized"], stored[f"{name}_scale"]
    return ((values.astype(np.float32) - stored[f"{name}_zero_point"]) * scale).astype(np.float32)
