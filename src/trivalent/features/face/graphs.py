"""The TFLite graphs of the face: loaded from verified bytes, run by LiteRT without MediaPipe."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from trivalent.core.assets import asset_path
from trivalent.core.errors import AssetError

Array32 = NDArray[np.float32]

TASK = "face_landmarker.task"
BACK_DETECTOR = "face_detection_back.tflite"
EMOTION_GRAPH = "fer_emotion_quantized.tflite"


class Graph:
    """One TFLite graph with a single input; outputs are found by name.

    Parameters
    ----------
    content : bytes
        The flatbuffer.
    threads : int
        Threads of the XNNPACK delegate.
    """

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        with _native_stderr_off():
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()[0]
        self._input = details["index"]
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in details["shape"])
        self._outputs = {d["name"]: d["index"] for d in self._interpreter.get_output_details()}

    def run(self, x: Array32, *names: str) -> tuple[Array32, ...]:
        """Run once and return copies of the named outputs.

        Parameters
        ----------
        x : array of float32, shape of the input without its leading 1
        names : str
            Names of output tensors in the flatbuffer.
        """
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(x[None], dtype=np.float32))
        self._interpreter.invoke()
        return tuple(self._interpreter.get_tensor(self._outputs[name]) for name in names)


class TaskArchive:
    """The members of `face_landmarker.task`, a zip archive, read once from the verified file."""

    def __init__(self) -> None:
        path = asset_path(TASK)
        try:
            self._zip = zipfile.ZipFile(BytesIO(path.read_bytes()))
        except (OSError, zipfile.BadZipFile) as error:
            raise AssetError("face.task", task=TASK, error=error) from error

    def read(self, member: str) -> bytes:
        """Return the bytes of one member."""
        return self._zip.read(member)


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logistic function; clipped where float64 could overflow, which changes no output bit that matters."""
    return 1.0 / (1.0 + np.exp(-np.clip(np.asarray(x, dtype=np.float64), -80.0, 80.0)))


@contextmanager
def _native_stderr_off() -> Iterator[None]:
    """Drop what C++ prints on stderr: LiteRT announces its delegate there and has no switch for it."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no stderr, so there is nothing to hide
        yield
        return
    try:
        with open(os.devnull, "wb") as sink:  # noqa: PTH123  (a device, not a path of ours)
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
