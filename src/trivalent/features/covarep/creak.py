"""Creaky voice: the posterior of a small network over 36 measures.

T. Drugman, J. Kane and C. Gobl, "Data-driven detection and analysis of the patterns of creaky
voice", Computer Speech and Language 28(5), 2014. Their weights belong to the COVAREP toolbox, whose
licence is not ours: who has them names their folder, everyone else gets our own small network,
which was fitted to the toolbox's output (see the card beside it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import scipy.io
from scipy.special import expit

from trivalent.core.errors import FeatureError
from trivalent.features.covarep.creak_inputs import CREAK_INPUTS, creak_inputs
from trivalent.features.covarep.framing import HOP, Array, on_grid

NETWORK_FILE, LOW_FILE, HIGH_FILE = "system_net_creak.mat", "minis_creak.mat", "maxis_creak.mat"
_OWN = "creak_network.npz"
_INPUTS = len(CREAK_INPUTS)
# A frame whose autocorrelation has no value gets the shortest period from the toolbox.
_NO_CREAK_F0 = {"creak F0": 3200.0, "difference of creak F0": 0.0, "second difference of creak F0": 0.0}


@dataclass(frozen=True, eq=False)
class CreakNetwork:
    """One hidden layer of tanh units and a logistic output over scaled inputs.

    Attributes
    ----------
    hidden_weights : array of float64, shape (hidden, 36)
    hidden_bias : array of float64, shape (hidden,)
    output_weights : array of float64, shape (hidden,)
    output_bias : float
    low, high : array of float64, shape (36,)
        Values of the inputs that become -1 and +1.
    missing : array of float64, shape (36,)
        Scaled value of an input that is NaN.
    bound : float
        Largest magnitude of a scaled input; larger ones are cut (infinite: none).
    """

    hidden_weights: Array
    hidden_bias: Array
    output_weights: Array
    output_bias: float
    low: Array
    high: Array
    missing: Array
    bound: float

    def posterior(self, inputs: Array) -> Array:
        """Probability of creak at each instant.

        Parameters
        ----------
        inputs : array of float64, shape (n, 36)
            `creak_inputs`.

        Returns
        -------
        array of float64, shape (n,)
            0 to 1; NaN where an input and its difference are infinite, at the start of digital
            silence: there the hidden units' sums are undefined.
        """
        scaled = (2 * inputs - self.low - self.high) / (self.high - self.low)
        scaled = np.where(np.isnan(scaled), self.missing, np.clip(scaled, -self.bound, self.bound))
        with np.errstate(invalid="ignore"):
            hidden = np.tanh(scaled @ self.hidden_weights.T + self.hidden_bias)
        probability = expit(hidden @ self.output_weights + self.output_bias)
        return np.where(np.isinf(inputs).sum(axis=1) > 1, np.nan, probability)


def creak_column(
    x: Array,
    grid: Array,
    *,
    network: CreakNetwork | None = None,
    strict: bool = False,
    residual: Array | None = None,
) -> Array:
    """Posterior probability of creaky voice.

    Parameters
    ----------
    x : array of float64, shape (samples,)
        Speech at 16 kHz in natural polarity.
    grid : array of float64, shape (rows,)
        Rows of the table in samples, counted from 1.
    network : CreakNetwork, optional
        Default: our own, `load_creak_network()`.
    strict : bool
        Give digital silence, and everything after it, the numbers of the reference implementation,
        where silence spoils the measures of the residual until the end of the recording.
    residual : array of float64, shape (samples,), optional
        `lp_residual(x, 18)`, where it has been computed already.

    Returns
    -------
    array of float64, shape (rows, 1)
        0 to 1, linear between instants 10 ms apart; NaN before the first and after the last, where
        no frame is voiced, and (unless `strict`) in digital silence.

    Examples
    --------
    >>> import numpy as np
    >>> buzz = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000) - 0.9)
    >>> creak = creak_column(buzz, np.array([80.0, 4080.0]))
    >>> creak.shape, bool(np.isnan(creak[0, 0])), bool(creak[1, 0] < 0.3)
    ((2, 1), True, True)
    """
    inputs = creak_inputs(x, strict=strict, residual=residual)
    median = inputs[:, CREAK_INPUTS.index("median F0")]
    known = np.isfinite(median) if strict else np.isfinite(inputs).all(axis=1)
    posterior = np.full(len(inputs), np.nan)
    if known.any():
        network = load_creak_network() if network is None else network
        posterior[known] = network.posterior(inputs[known])
    return on_grid(HOP * np.arange(1, len(inputs) + 1), posterior[:, None], grid)


def load_creak_network(folder: Path | str | None = None) -> CreakNetwork:
    """Load the toolbox's network from a folder, or our own.

    Parameters
    ----------
    folder : path, optional
        Holds `system_net_creak.mat`, `minis_creak.mat` and `maxis_creak.mat` of the COVAREP
        toolbox; they are read as numbers, nothing in them is run.

    Raises
    ------
    FeatureError
        A file is absent, damaged or does not hold the arrays of a 36-input network.
    """
    return _own_network() if folder is None else _toolbox_network(Path(folder))


@cache
def _own_network() -> CreakNetwork:
    with files("trivalent.features.covarep").joinpath(_OWN).open("rb") as stream:
        stored = np.load(stream, allow_pickle=False)
        arrays = {name: stored[name].astype(np.float64) for name in stored.files}
    return CreakNetwork(
        hidden_weights=arrays["hidden_weights"],
        hidden_bias=arrays["hidden_bias"],
        output_weights=arrays["output_weights"],
        output_bias=float(arrays["output_bias"]),
        low=arrays["low"],
        high=arrays["high"],
        missing=arrays["missing"],
        bound=float(arrays["bound"]),
    )


def _toolbox_network(folder: Path) -> CreakNetwork:
    path = folder / NETWORK_FILE
    net = _fields(path)
    weights = _the_array(net, "IW", path, columns=_INPUTS)
    hidden = len(weights)
    biases = list(_numeric(net["b"])) if "b" in net else []
    sizes = [b.size for b in biases]
    if sorted(sizes) != sorted((hidden, 1)) or not all(np.isfinite(b).all() for b in biases):
        _refuse(path, f"biases b of {hidden} and 1 finite values", f"sizes {sizes}")
    first, last = sorted(biases, key=lambda b: -b.size)
    low, high = (_input_range(folder / name) for name in (LOW_FILE, HIGH_FILE))
    if not (high >= low).all():
        _refuse(folder / HIGH_FILE, f"maxima that are not below {LOW_FILE}", f"{(high < low).sum()} below")
    # The toolbox divides by 0 for an input that never varied, and puts its minimum: -1, as here.
    high = np.where(high == low, low + 1, high)
    missing = -np.ones(_INPUTS)
    for name, value in _NO_CREAK_F0.items():
        i = CREAK_INPUTS.index(name)
        missing[i] = (2 * value - low[i] - high[i]) / (high[i] - low[i])
    return CreakNetwork(
        hidden_weights=weights,
        hidden_bias=first.ravel(),
        output_weights=_the_array(net, "LW", path, columns=hidden)[0],
        output_bias=float(last.ravel()[0]),
        low=low,
        high=high,
        missing=missing,
        bound=np.inf,
    )


def _contents(path: Path) -> dict[str, Any]:
    """Variables of a MATLAB file."""
    if not path.is_file():
        _refuse(path, "a file of the COVAREP toolbox", "no such file")
    try:
        stored = scipy.io.loadmat(path)
    except Exception as error:  # whatever a damaged file makes of the parser
        raise FeatureError("covarep.matlab", path=path, error=error) from error
    return {name: value for name, value in stored.items() if not name.startswith("__")}


def _fields(path: Path) -> dict[str, Any]:
    """Fields of the structure `net`, however it is nested."""
    contents = _contents(path)
    net = np.asarray(contents.get("net", next(iter(contents.values()), None)))
    while net.dtype == object and net.size == 1:
        net = np.asarray(net.item())
    if net.dtype.names is None or net.size != 1:
        _refuse(path, "a structure net with fields IW, LW and b", f"{', '.join(contents) or 'nothing'}")
    record = net.reshape(-1)[0]
    return {name: record[name] for name in net.dtype.names}


def _numeric(value: Any) -> Iterator[Array]:
    """Yield the numeric arrays, not empty, of nested cells."""
    array = np.asarray(value)
    if array.dtype == object:
        for cell in array.ravel(order="F"):
            yield from _numeric(cell)
    elif array.dtype.kind in "iuf" and array.size:
        yield array.astype(np.float64)


def _the_array(net: dict[str, Any], field: str, path: Path, *, columns: int) -> Array:
    arrays = list(_numeric(net[field])) if field in net else []
    rows = "1" if field == "LW" else "hidden"
    if (
        len(arrays) != 1
        or arrays[0].ndim != 2
        or arrays[0].shape[1] != columns
        or (field == "LW" and len(arrays[0]) != 1)
        or not np.isfinite(arrays[0]).all()
    ):
        got = ", ".join(str(a.shape) for a in arrays) or "none"
        _refuse(path, f"finite weights {field} of shape ({rows}, {columns})", f"shapes {got}")
    return arrays[0]


def _input_range(path: Path) -> Array:
    arrays = [a for value in _contents(path).values() for a in _numeric(value)]
    if len(arrays) != 1 or arrays[0].size != _INPUTS or not np.isfinite(arrays[0]).all():
        got = ", ".join(str(a.shape) for a in arrays) or "none"
        _refuse(path, f"one array of {_INPUTS} finite values", f"shapes {got}")
    return arrays[0].ravel()


def _refuse(path: Path, expected: str, got: str) -> NoReturn:
    raise FeatureError(
        "covarep.creak_files",
        expected=expected,
        path=path,
        got=got,
        network_file=NETWORK_FILE,
        low_file=LOW_FILE,
        high_file=HIGH_FILE,
    )
