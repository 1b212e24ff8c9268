"""The extractor: from a recording to a table of COVAREP columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from trivalent.core.blas import one_blas_thread
from trivalent.core.errors import FeatureError
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.covarep.columns import NAME, VERSION, check_columns
from trivalent.features.covarep.creak import load_creak_network
from trivalent.features.covarep.framing import FS, Array, output_grid, round_half_away
from trivalent.features.covarep.groups import GROUPS
from trivalent.features.covarep.options import Variant
from trivalent.features.covarep.preparation import prepare
from trivalent.features.covarep.recording import Options, Recording

_HOP_RANGE_S = (0.001, 1.0)
PIECE_S = 600  # longer recordings are computed in pieces of this length
_MARGIN_S = 2  # sound on both sides of a piece, so that its edges have values


def covarep(
    signal: NDArray[Any],
    fs: int,
    *,
    hop_s: float = 0.01,
    columns: Sequence[str] | None = None,
    rd: Variant = "head",
    seed: int = 0,
    creak_weights: str | Path | None = None,
    strict: bool = False,
) -> FeatureTable:
    """Compute COVAREP columns of a recording.

    The definitions are those behind the acoustic features of CMU-MOSI and CMU-MOSEI
    (G. Degottex et al., "COVAREP - a collaborative voice analysis repository", ICASSP 2014).

    Parameters
    ----------
    signal : array of int or float, shape (samples,) or (samples, channels)
        Any length; integers are scaled by the range of their type.
    fs : int
        Sampling rate in Hz, 8,000 to 192,000; resampled to 16,000.
    hop_s : float
        Seconds between rows, 0.001 to 1; the field's tables have 0.01.
    columns : sequence of str, optional
        Columns to compute, in this order; default all 74 of `COLUMNS`.
    rd : {"head", "legacy"}
        Version of Rd and Rd_conf: that of the toolbox's last version, or the older one.
    seed : int
        Of the random phases above a frame's last harmonic, which reach HMPDM_24 and HMPDD.
    creak_weights : str or Path, optional
        Folder with the toolbox's creak network; without it our own answers, and
        `meta["creak_network"]` says which.
    strict : bool
        Return the reference implementation's numbers where there is no value: 0, or infinity
        in `peakSlope`, and an F0 of 1 Hz in digital silence. Memory then grows with the length;
        otherwise recordings beyond `PIECE_S` seconds are computed in pieces.

    Returns
    -------
    FeatureTable
        Rows at half a hop, then every hop. NaN where a cell could not be computed; status
        `missing` with a reason when none could; `meta["uncomputed"]` gives the reason of each
        column without any value.

    Raises
    ------
    FeatureError
        Impossible signal, rate, hop or version of Rd, an unknown column, or a folder without
        the creak network's files.

    Examples
    --------
    >>> import numpy as np
    >>> buzz = np.sign(np.sin(2 * np.pi * 125 * np.arange(8000) / 16000) - 0.9)
    >>> table = covarep(buzz, 16000, columns=["F0", "VUV"])
    >>> float(np.nanmedian(table.column("F0")))
    125.0
    """
    columns = check_columns(columns)
    if rd not in get_args(Variant):
        raise FeatureError("covarep.rd", variants=" or ".join(get_args(Variant)), rd=rd)
    creak = load_creak_network(creak_weights) if creak_weights is not None else None
    options = Options(strict=strict, rd=rd, seed=seed, creak=creak)
    samples = prepare(signal, fs, keep_offset=strict)
    grid = output_grid(samples.size, _hop_samples(hop_s))
    meta: dict[str, Any] = {
        "hop_s": hop_s,
        "strict": strict,
        "fs": int(fs),
        "duration_s": samples.size / FS,
        "rd": rd,
        "seed": seed,
        "creak_network": "trivalent" if creak is None else "toolbox",
        "uncomputed": _too_short(samples, columns),
    }
    if reason := _nothing_to_compute(samples, columns, strict=strict):
        return FeatureTable.absent(NAME, VERSION, columns=columns, reason=reason, meta=meta)
    with one_blas_thread():
        values = np.concatenate([_values(piece, columns) for piece in _pieces(samples, grid, options)])
    if not np.isfinite(values).any():
        reason = Message("reason.hardly_sound")
        return FeatureTable.absent(NAME, VERSION, columns=columns, reason=reason, meta=meta)
    meta["uncomputed"] = _without_value(values, columns) | meta["uncomputed"]
    values[np.isnan(values) if strict else ~np.isfinite(values)] = 0.0 if strict else np.nan
    return FeatureTable(NAME, VERSION, columns, (grid - 1) / FS, values, meta=meta)


def _pieces(samples: Array, grid: Array, options: Options) -> Iterator[Recording]:
    """Cut a long recording, so that memory stays bounded; the rows of the pieces follow each other."""
    length, margin = PIECE_S * FS, _MARGIN_S * FS
    if options.strict or samples.size <= length + margin:
        yield Recording(samples, grid, options)
        return
    count = max(1, round(samples.size / length))
    edges = [samples.size * i // count for i in range(count + 1)]
    for start, end in pairwise(edges):
        first, last = max(0, start - margin), min(samples.size, end + margin)
        rows = grid[(grid > start) & (grid <= end)]
        yield Recording(samples[first:last], rows - first, options)


def _values(recording: Recording, columns: Sequence[str]) -> Array:
    """Compute the chosen columns, shape (rows, columns)."""
    values = np.empty((recording.grid.size, len(columns)))
    for group in GROUPS:
        here = [i for i, name in enumerate(columns) if name in group.columns]
        if here:
            values[:, here] = group.compute(recording)[:, [group.columns.index(columns[i]) for i in here]]
    return values


def _without_value(values: Array, columns: Sequence[str]) -> dict[str, str]:
    """Columns without any value, and what they lack."""
    needs = {name: group.needs for group in GROUPS for name in group.columns}
    present = np.isfinite(values)
    return {name: f"needs {needs[name]}" for i, name in enumerate(columns) if not present[:, i].any()}


def _hop_samples(hop_s: float) -> int:
    low, high = _HOP_RANGE_S
    if not low <= hop_s <= high:
        raise FeatureError("covarep.hop", low=low, high=high, hop_s=hop_s)
    return int(round_half_away(hop_s * FS))


def _too_short(samples: Array, columns: Sequence[str]) -> dict[str, str]:
    """Columns that need a longer recording, and what they need."""
    return {
        name: f"needs at least {group.needs_s:g} s"
        for group in GROUPS
        for name in group.columns
        if name in columns and samples.size < group.needs_s * FS
    }


def _nothing_to_compute(samples: Array, columns: Sequence[str], *, strict: bool) -> Message | None:
    short = _too_short(samples, columns)
    if len(short) == len(columns):
        least = min(group.needs_s for group in GROUPS if set(group.columns) & set(columns))
        names = [name for group in GROUPS if group.needs_s == least for name in group.columns]
        first = next(name for name in names if name in columns)
        return Message("reason.short_sound", seconds=samples.size / FS, column=first, needed=least)
    if not strict and np.ptp(samples) == 0:
        return Message("reason.silence")
    return None
