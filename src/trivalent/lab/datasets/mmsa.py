"""Pickles of the MMSA framework (aligned_50.pkl, unaligned_50.pkl of MOSI, MOSEI, SIMS, SIMS v2).

W. Yu et al., "CH-SIMS", ACL 2020, and H. Mao et al., "M-SENA", ACL 2022. Nothing of a pickle is run
(`restricted_pickle`).

Sequences of one modality are padded to one length. What is padding is told by three signs:

- the lengths in the file: `audio_lengths`, `vision_lengths`, and for texts the attention mask
  in `text_bert`; steps beyond the length are padding, even if they are not zero;
- a step whose columns are all zero or not finite is padding, or nothing was measured in it (no
  face, no sound under a word): aligned files, which have no lengths for sound and face, are
  padded with such steps. It is left out wherever it stands;
- padding may stand in front (files derived from those of MulT): if all steps before the last
  `length` are all zero, those last ones are the valid ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError
from trivalent.core.types import Modality
from trivalent.lab.datasets.restricted_pickle import load_restricted

SPLITS = {"train": "train", "valid": "val", "test": "test"}
MODALITIES = {"text": Modality.TEXT, "audio": Modality.AUDIO, "vision": Modality.FACE}
CHUNK = 256  # samples looked at together: at most some 100 MB of an unaligned file
MAX_LISTED = 1_000_000  # numbers in nested lists; arrays may hold more
MAX_ID = 200  # characters: an array of texts gives to each the room of the longest


@dataclass(frozen=True, eq=False)
class MMSAPart:
    """One split of an MMSA pickle.

    Attributes
    ----------
    ids : tuple of str, length n
        VIDEO$_$CLIP.
    texts : tuple of str, length n
    features : dict of str to array, shape (n, steps, columns)
        text, audio, vision; only those that the file holds.
    lengths : dict of str to array of int64, shape (n,)
        Valid steps where the file tells them: of unaligned modalities, and of texts with
        `text_bert`.
    scores : array of float64, shape (n,)
        Annotated sentiment as published: [-3, 3] for MOSI and MOSEI, [-1, 1] for SIMS.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    features: dict[str, NDArray[Any]]
    lengths: dict[str, NDArray[np.int64]]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


def load_mmsa(path: Path) -> dict[str, MMSAPart]:
    """Read an MMSA pickle as train, val and test.

    Raises
    ------
    DataError
        See `load_restricted`; or a split or field is missing, empty, of another shape or type,
        or lengths differ; the message names the file, the split and the field.
    """
    content = load_restricted(path)
    if not isinstance(content, dict) or not set(SPLITS) <= set(content):
        got = ", ".join(map(str, content))[:200] if isinstance(content, dict) else type(content).__name__
        raise DataError("mmsa.splits", splits=list(SPLITS), name=path.name, got=got)
    return {name: _part(content[key], f"{path.name}, {key}") for key, name in SPLITS.items()}


def _part(fields: Any, where: str) -> MMSAPart:
    if not isinstance(fields, dict):
        raise DataError("mmsa.fields", where=where, type=type(fields).__name__)
    missing = [name for name in ("id", "raw_text", "regression_labels") if name not in fields]
    present = [name for name in MODALITIES if name in fields]
    if missing or not present:
        what = ", ".join(missing) or "one of " + ", ".join(MODALITIES)
        raise DataError(
            "mmsa.fields_absent",
            what=what,
            where=where,
            found=", ".join(map(str, fields))[:200],
            advice=_advice(missing, fields),
        )
    ids = _texts(fields["id"], f"id in {where}")
    lengths = {
        name: _array(fields[f"{name}_lengths"], f"{name}_lengths in {where}", axes=1).astype(np.int64)
        for name in present
        if f"{name}_lengths" in fields
    }
    if "text" in present and "text" not in lengths and "text_bert" in fields:
        tokens = _array(fields["text_bert"], f"text_bert in {where}", axes=3)  # (n, 3, steps)
        if tokens.shape[1] == 3:  # words, attention mask, segments
            lengths["text"] = (tokens[:, 1] > 0).sum(axis=1)
    part = MMSAPart(
        ids,
        _texts(fields["raw_text"], f"raw_text in {where}"),
        {name: _array(fields[name], f"{name} in {where}", axes=3) for name in present},
        lengths,
        _array(fields["regression_labels"], f"regression_labels in {where}", axes=1).astype(np.float64),
    )
    _check_part(part, where)
    return part


def _advice(missing: list[str], fields: dict[Any, Any]) -> str:
    if "regression_labels" in missing and "labels" in fields:
        return "files of MulT (one field `labels`) are not read: get the one of MMSA"
    if "regression_labels" in missing and "classification_labels" in fields:
        return "classes alone are not read: get the file with the annotated scores"
    if missing == ["id"]:
        return "without ids VIDEO$_$CLIP nobody can tell whether splits share videos: get a newer file"
    return "get it anew"


def _texts(values: Any, what: str) -> tuple[str, ...]:
    if isinstance(values, np.ndarray):
        if values.ndim == 0 or values.size != len(values):
            raise DataError("mmsa.one_text_shape", what=what, shape=values.shape)
        values = values.ravel().tolist()
    cells = values if isinstance(values, list | tuple) else [None]
    cells = [cell[0] if isinstance(cell, list | tuple) and len(cell) == 1 else cell for cell in cells]
    for cell in cells:
        if not isinstance(cell, str | bytes | int | float | np.generic):
            kind = type(cell).__name__
            raise DataError("mmsa.one_text", what=what, kind=kind)
    return tuple(map(str, cells))


def _array(values: Any, what: str, *, axes: int) -> NDArray[Any]:
    """Return numbers with so many axes; a single axis may carry others of length one."""
    if not isinstance(values, np.ndarray):
        _check_listed(values, what)
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:  # rows of unequal length
        raise DataError("mmsa.rows", what=what) from error
    if axes == 1 and array.ndim and array.size == len(array):
        array = array.ravel()
    if array.dtype.kind not in "fiub" or array.ndim != axes or (len(array) and not array.size):
        raise DataError("mmsa.axes", axes=axes, what=what, dtype=array.dtype, shape=array.shape)
    return array


def _check_listed(values: Any, what: str) -> None:
    """Refuse what is no number, and lists that hold each other so often that no memory would take them."""
    count, todo = 0, [values]
    while todo and count <= MAX_LISTED:
        value = todo.pop()
        if isinstance(value, list | tuple):
            count += len(value)
            todo += value if count <= MAX_LISTED else ()
        elif isinstance(value, np.ndarray):
            count += value.size
        elif not isinstance(value, int | float | np.number | np.bool_):
            kind = type(value).__name__
            raise DataError("mmsa.numbers", what=what, kind=kind)
    if count > MAX_LISTED:
        raise DataError("mmsa.listed", max_listed=MAX_LISTED, what=what)


def _check_part(part: MMSAPart, where: str) -> None:
    if not len(part):
        raise DataError("mmsa.no_samples", where=where)
    columns: dict[str, Any] = {"raw_text": part.texts, "regression_labels": part.scores}
    columns |= part.features | {f"{name}_lengths": v for name, v in part.lengths.items()}
    for name, values in columns.items():
        if len(values) != len(part):
            raise DataError("mmsa.entries", count=len(part), name=name, where=where, count2=len(values))
    if any(len(sample_id) > MAX_ID for sample_id in part.ids):
        raise DataError("mmsa.long_ids", max_id=MAX_ID, where=where)
    if repeated := len(part) - len(set(part.ids)):
        raise DataError("mmsa.twice", where=where, repeated=repeated)


def valid_steps(part: MMSAPart, name: str) -> NDArray[np.bool_]:
    """Mark the steps that are neither padding nor unmeasured, see the module.

    Parameters
    ----------
    part : MMSAPart
    name : str
        text, audio or vision.

    Returns
    -------
    array of bool, shape (n, steps)
    """
    values = part.features[name]
    n, steps = values.shape[:2]
    measured = np.empty((n, steps), dtype=np.bool_)
    for start in range(0, n, CHUNK):
        block = values[start : start + CHUNK]
        measured[start : start + CHUNK] = (np.isfinite(block) & (block != 0)).any(axis=2)
    if name not in part.lengths or not steps:
        return measured
    length = np.clip(part.lengths[name], 0, steps)[:, None]  # (n, 1); longer ones were cut
    position = np.arange(steps)
    front = ~(measured & (position < steps - length)).any(axis=1) & (measured & (position >= length)).any(
        axis=1
    )
    inside = np.where(front[:, None], position >= steps - length, position < length)
    return np.asarray(measured & inside)


def mmsa_sequences(part: MMSAPart, name: str) -> NDArray[np.float32]:
    """Return the sequences of a modality.

    Parameters
    ----------
    part : MMSAPart
    name : str
        text, audio or vision.

    Returns
    -------
    array of float32, shape (n, steps, columns)
        NaN where a cell is not finite, and at all steps that do not count (`valid_steps`); in aligned
        files a step is the same word in all modalities.
    """
    sequences = part.features[name].astype(np.float32)
    sequences[~np.isfinite(sequences)] = np.nan
    sequences[~valid_steps(part, name)] = np.nan
    return sequences
