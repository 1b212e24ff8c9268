"""ONNX files as bytes: whether all of a graph lies in its file, told before onnxruntime sees it."""

from __future__ import annotations

from trivalent.core.errors import BundleError
from trivalent.core.protobuf import fields

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
    for field, value in fields(data):
        if message == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            return True
        inner = _MESSAGES.get((message, field))
        if inner is not None and not isinstance(value, int) and _refers(value, inner, depth - 1):
            return True
    return False
