"""ONNX graphs: opened and run in one place, once it is sure that all of a graph lies in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import BundleError
from trivalent.core.protobuf import fields
from trivalent.core.types import LABELS, FloatArray

if TYPE_CHECKING:
    import onnxruntime

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


class Graph:
    """A graph that is read and opened when it is first asked.

    Parameters
    ----------
    read : callable
        Returns the bytes of the file.
    name : str
        Of the file, for messages.
    role : str
        What answers, for messages.
    threads : int

    Raises
    ------
    BundleError
        When it is asked: this is no ONNX, not all of it lies in the file, it does not know an input or
        output, or it answers in another shape.
    """

    def __init__(
        self, read: Callable[[], bytes], *, name: str, role: str = "the network", threads: int = 1
    ) -> None:
        self.name = name
        self._read, self._role, self._threads = read, role, threads

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it computes."""
        return tuple(output.name for output in self._session.get_outputs())

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Compute outputs by name."""
        session = self._session
        try:
            return session.run(list(outputs), dict(inputs))
        except Exception as error:  # onnxruntime raises a family of its own without a common base
            raise BundleError(
                "bundle.answer", role=self._role, name=self.name, reason=_first_line(error)
            ) from error

    def logits(self, inputs: Mapping[str, NDArray[Any]]) -> FloatArray:
        """Compute `logits`, shape (n, 3), for inputs of n rows."""
        (answer,) = self.run(inputs, ["logits"])
        shape = (len(next(iter(inputs.values()))), len(LABELS))
        if np.shape(answer) != shape:
            raise BundleError(
                "bundle.answer_shape", role=self._role, name=self.name, shape=shape, found=np.shape(answer)
            )
        return answer

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        import onnxruntime

        content = self._read()
        check_self_contained(content, self.name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; it need not be printed, too
        try:
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # see `run`
            raise BundleError("bundle.no_graph", name=self.name, reason=_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


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
        raise BundleError("bundle.graph_ort_format", name=name)
    try:
        inside = _refers(memoryview(graph), "model", _DEPTH)
    except (IndexError, ValueError) as error:
        raise BundleError("bundle.graph_not_onnx", name=name, error=error) from error
    if inside:
        raise BundleError("bundle.graph_external", name=name)


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
