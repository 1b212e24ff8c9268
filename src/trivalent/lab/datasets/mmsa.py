"""Pickles of the MMSA framework (aligned_50.pkl, unaligned_50.pkl of MOSI, MOSEI, SIMS, SIMS v2).

W. Yu et al., "CH-SIMS", ACL 2020, and H. Mao et al., "M-SENA", ACL 2022. A pickle can run code
when it is loaded; these are read by an unpickler that knows NumPy arrays and plain containers
only and names whatever else it meets.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trivalent.errors import DataError

SPLITS = {"train": "train", "valid": "val", "test": "test"}
MODALITIES = ("text", "audio", "vision")
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
        Valid steps of unaligned modalities.
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
        See `load_restricted`; or a split or field is missing, or lengths differ.
    """
    content = load_restricted(path)
    if not isinstance(content, dict) or not set(SPLITS) <= set(content):
        got = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"expected the splits {', '.join(SPLITS)} in {path.name}, got {got}; get it anew")
    return {name: _part(content[key], f"{path.name}, {key}") for key, name in SPLITS.items()}


def _part(fields: Any, where: str) -> MMSAPart:
    missing = [name for name in ("id", "raw_text", "regression_labels") if name not in fields]
    present = [name for name in MODALITIES if name in fields]
    if missing or not present:
        what = ", ".join(missing) or "one of " + ", ".join(MODALITIES)
        raise DataError(f"expected the fields {what} in {where}, got {', '.join(map(str, fields))}")
    ids = tuple(str(i) for i in np.asarray(fields["id"]).ravel().tolist())
    found = MMSAPart(
        ids,
        tuple(str(t) for t in np.asarray(fields["raw_text"]).ravel().tolist()),
        {name: np.asarray(fields[name]) for name in present},
        {
            name: np.asarray(fields[f"{name}_lengths"], np.int64)
            for name in present
            if f"{name}_lengths" in fields
        },
        np.asarray(fields["regression_labels"], np.float64).ravel(),
    )
    columns: dict[str, Any] = {"raw_text": found.texts, "regression_labels": found.scores}
    columns |= found.features | {f"{name}_lengths": v for name, v in found.lengths.items()}
    for name, values in columns.items():
        if len(values) != len(ids):
            raise DataError(
                f"expected {len(ids)} entries of {name} in {where}, got {len(values)}; get it anew"
            )
    if len(set(ids)) < len(ids):
        raise DataError(f"expected each id once in {where}, got {len(ids) - len(set(ids))} repeated")
    return found
