"""Whisper's encoder layer by layer, read from the weights that the recogniser runs.

CTranslate2 gives the last layer alone. Its file of weights is a list of named arrays, which is all that is
needed to compute the others; `check` compares the last layer with CTranslate2's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

VERSION = 6  # of CTranslate2's files
HEAD = 64  # values of a head, of every size of Whisper
MEL_FRAMES = 3000  # of 30 s
FRAMES = MEL_FRAMES // 2  # of the encoder, 20 ms each
_TYPES = ("<f4", "i1", "<i2", "<i4", "<f2")  # by CTranslate2's numbers
Mel = NDArray[np.float32]
States = NDArray[np.float32]  # (frames, width)


def read_variables(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a CTranslate2 model by their names.

    Raises
    ------
    ValueError
        The file is of another version.
    """
    data = memoryview(path.read_bytes())
    at = 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return int(value)

    def text() -> str:
        nonlocal at
        length = take("H")
        at += length
        return bytes(data[at - length : at - 1]).decode()

    version = take("I")
    text(), take("I")  # name and revision of the architecture
    if version != VERSION:
        raise ValueError(f"expected a CTranslate2 file of version {VERSION} at {path}, got {version}")
    found: dict[str, NDArray[np.generic]] = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = np.dtype(_TYPES[take("B")]), take("I")
        found[name] = np.frombuffer(data, kind, size // kind.itemsize, at).reshape(shape)
        at += size
    return found


class WhisperEncoder:
    """The encoder in single precision.

    Parameters
    ----------
    folder : Path
        Where a Whisper size lies (`trivalent.speech.weights.model_folder`).
    """

    def __init__(self, folder: Path) -> None:
        self._weights = {
            name.removeprefix("encoder/"): torch.from_numpy(values.astype(np.float32))
            for name, values in read_variables(folder / "model.bin").items()
            if name.startswith("encoder/") and values.dtype.kind == "f"
        }
        named = takewhile(lambda i: f"layer_{i}/ffn/linear_0/weight" in self._weights, count())
        self.layers = len(list(named))

    def states(self, mel: Mel) -> Iterator[States]:
        """Yield what leaves each layer, (frames, width); `last` makes the encoder's output of the last.

        Parameters
        ----------
        mel : array, shape (bands, MEL_FRAMES)
            Of 30 s, by faster-whisper's `FeatureExtractor`.
        """
        with torch.inference_mode():
            x = torch.from_numpy(mel)[None]  # (1, bands, 3000)
            for name, stride in (("conv1", 1), ("conv2", 2)):
                weight, bias = self._pair(name)
                x = functional.gelu(functional.conv1d(x, weight, bias, stride=stride, padding=1))
            x = x[0].T + self._weights["position_encodings/encodings"]  # (1500, width)
            for i in range(self.layers):
                x = x + self._attention(f"layer_{i}/self_attention", x)
                x = x + self._feed_forward(f"layer_{i}/ffn", x)
                yield x.numpy()

    def last(self, states: States) -> States:
        """Normalise what leaves the last layer, as the encoder's own output is."""
        return self._normed("layer_norm", torch.from_numpy(states)).numpy()

    def _attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        fused = functional.linear(self._normed(f"{name}/layer_norm", x), *self._pair(f"{name}/linear_0"))
        q, k, v = (
            part.reshape(len(x), -1, HEAD).transpose(0, 1)[None]  # (1, heads, 1500, HEAD)
            for part in fused.chunk(3, dim=1)
        )
        heard = functional.scaled_dot_product_attention(q, k, v)
        return functional.linear(heard[0].transpose(0, 1).flatten(1), *self._pair(f"{name}/linear_1"))

    def _feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.linear(self._normed(f"{name}/layer_norm", x), *self._pair(f"{name}/linear_0"))
        return functional.linear(functional.gelu(hidden), *self._pair(f"{name}/linear_1"))

    def _normed(self, name: str, x: torch.Tensor) -> torch.Tensor:
        gain, shift = self._weights[f"{name}/gamma"], self._weights[f"{name}/beta"]
        return functional.layer_norm(x, x.shape[-1:], gain, shift)

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._weights[f"{name}/weight"], self._weights[f"{name}/bias"]


def check(folder: Path, mel: Mel) -> float:
    """Return the greatest difference of the last layer from CTranslate2's in single precision."""
    import ctranslate2

    encoder = WhisperEncoder(folder)
    *_, states = encoder.states(mel)
    model = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(mel[None])))[0]
    return float(np.abs(encoder.last(states) - theirs).max())
