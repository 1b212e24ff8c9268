"""Pickles of the MMSA framework (aligned_50.pkl, unaligned_50.pkl of MOSI, MOSEI, SIMS, SIMS v2).

W. Yu et al., "CH-SIMS", ACL 2020, and H. Mao et al., "M-SENA", ACL 2022. A pickle can run code
when it is loaded; these are read by an unpickler that knows NumPy arrays and plain containers
only and names whatever else it meets.

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

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import DataError
from trivalent.types import Modality

SPLITS = {"train": "train", "valid": "val", "test": "test"}
MODALITIES = {"text": Modality.TEXT, "audio": Modality.AUDIO, "vision": Modality.FACE}
CHUNK = 256  # samples looked at together: at most some 100 MB of an unaligned file
_CORES = ("numpy.core", "numpy._core")
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how protocol 2 writes bytes
    *((f"{core}.multiarray", name) for core in _CORES for name in ("_reconstruct", "scalar")),
    *((f"{core}.numeric", "_frombuffer") for core in _CORES),
}


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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(
                f"expected NumPy arrays and plain containers, got {module}.{name}: nothing of it was run; "
                "do not trust this file"
            )
        return super().find_class(module, name)


def load_restricted(path: Path) -> Any:
    """Read a pickle of NumPy arrays and plain containers.

    Raises
    ------
    DataError
        The file is absent or damaged, or holds anything else; the message names what.
    """
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream, encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    except OSError as error:
        raise DataError(f"expected a pickle at {path}, got: {error.strerror}; check the path") from error
    except Exception as error:  # whatever damaged bytes make of the unpickler
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"expected a complete pickle, got {path.name}, which is damaged ({reason}); get it anew"
        ) from error


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
        got = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"expected the splits {', '.join(SPLITS)} in {path.name}, got {got}; get it anew")
    return {name: _part(content[key], f"{path.name}, {key}") for key, name in SPLITS.items()}


def _part(fields: Any, where: str) -> MMSAPart:
    if not isinstance(fields, dict):
        raise DataError(f"expected named fields in {where}, got {type(fields).__name__}; get it anew")
    missing = [name for name in ("id", "raw_text", "regression_labels") if name not in fields]
    present = [name for name in MODALITIES if name in fields]
    if missing or not present:
        what = ", ".join(missing) or "one of " + ", ".join(MODALITIES)
        raise DataError(
            f"expected the fields {what} in {where}, got {', '.join(map(str, fields))}; "
            f"{_advice(missing, fields)}"
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
    found = MMSAPart(
        ids,
        _texts(fields["raw_text"], f"raw_text in {where}"),
        {name: _array(fields[name], f"{name} in {where}", axes=3) for name in present},
        lengths,
        _array(fields["regression_labels"], f"regression_labels in {where}", axes=1).astype(np.float64),
    )
    _check_part(found, where)
    return found


def _advice(missing: list[str], fields: dict[Any, Any]) -> str:
    if "regression_labels" in missing and "labels" in fields:
        return "files of MulT (one field `labels`) are not read: get the one of MMSA"
    if "regression_labels" in missing and "classification_labels" in fields:
        return "classes alone are not read: get the file with the annotated scores"
    if missing == ["id"]:
        return "without ids VIDEO$_$CLIP nobody can tell whether splits share videos: get a newer file"
    return "get it anew"


def _texts(values: Any, what: str) -> tuple[str, ...]:
    cells = np.asarray(values)
    if cells.ndim != 1 and cells.size != len(cells):
        raise DataError(f"expected one text per sample as {what}, got shape {cells.shape}; get it anew")
    return tuple(str(cell) for cell in cells.ravel().tolist())


def _array(values: Any, what: str, *, axes: int) -> NDArray[Any]:
    """Return numbers with so many axes; a single axis may carry others of length one."""
    try:
        found = np.asarray(values)
    except ValueError as error:  # rows of unequal length
        raise DataError(f"expected an array as {what}, got rows of unequal length; get it anew") from error
    if axes == 1 and found.ndim and found.size == len(found):
        found = found.ravel()
    if found.dtype.kind not in "fiub" or found.ndim != axes:
        raise DataError(
            f"expected numbers with {axes} axes as {what}, got {found.dtype} of shape {found.shape}; "
            "get it anew"
        )
    return found


def _check_part(found: MMSAPart, where: str) -> None:
    if not len(found):
        raise DataError(f"expected samples in {where}, got none; get it anew")
    columns: dict[str, Any] = {"raw_text": found.texts, "regression_labels": found.scores}
    columns |= found.features | {f"{name}_lengths": v for name, v in found.lengths.items()}
    for name, values in columns.items():
        if len(values) != len(found):
            raise DataError(
                f"expected {len(found)} entries of {name} in {where}, got {len(values)}; get it anew"
            )
    if repeated := len(found) - len(set(found.ids)):
        raise DataError(f"expected each id once in {where}, got {repeated} repeated; drop them")


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


def mmsa_sequences(part: MMSAPart) -> dict[Modality, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return the sequences of each modality and which of their steps count.

    Returns
    -------
    dict of Modality to (values, mask)
        values: float32, shape (n, steps, columns); a cell that is not finite is NaN.
        mask: bool, shape (n, steps), of `valid_steps`; in aligned files a step is the same word
        in all modalities.
    """
    found = {}
    for name, values in part.features.items():
        sequences = values.astype(np.float32)
        sequences[~np.isfinite(sequences)] = np.nan
        found[MODALITIES[name]] = (sequences, valid_steps(part, name))
    return found
