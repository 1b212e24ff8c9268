"""Pickles of NumPy arrays and plain containers, read without running anything of theirs.

A pickle is a program: it calls what it names, with any arguments. NumPy's own constructors are too
strong for that: a dtype whose state is forged makes NumPy take bytes of the file for addresses of
objects. So the names of NumPy lead to the functions below, which build plain cells only and compare
every length, and any other name is refused. The unpickler is the one written in Python: that in C
reserves what a forged memo number asks for.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trivalent.core.errors import DataError

_CODE = re.compile(r"b1|[iu][1248]|f[248]|[SUO]\d{0,7}", re.ASCII)
_LAST_CHARACTER = 0x10FFFF


class _Kind:
    """Stands for a NumPy dtype: numbers, texts or objects, in either byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, *_: object) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise DataError("csv.pickle_objects", code=code)
        self.dtype = np.dtype("O" if code[0] == "O" else code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *fields = state
        if order not in ("<", ">", "|", "=") or any(part is not None for part in fields[:3]):
            raise DataError("csv.pickle_parts")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """An array that a pickle fills after it was made."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, by_column, data = state[-4:]
        count = _count(shape)
        if not isinstance(kind, _Kind):
            raise TypeError("an array without a kind of cells")
        if kind.dtype.hasobject:
            if not isinstance(data, list) or len(data) != count:
                raise ValueError(f"a list of {count} objects is missing")
        else:
            data = bytes(_cells(data, kind, count))
        super().__setstate__((1, shape, kind.dtype, bool(by_column), data))  # type: ignore[arg-type]


def _count(shape: Any) -> int:
    """Return the number of cells of a shape."""
    count = 1
    for length in shape if isinstance(shape, tuple) and len(shape) <= 32 else (None,):
        if type(length) is not int or length < 0:
            raise ValueError("no shape of an array")
        count *= length
    return count


def _cells(data: Any, kind: _Kind, count: int) -> bytes | bytearray:
    """Check that bytes are so many cells, and texts of characters that exist."""
    raw = data.encode("latin-1") if isinstance(data, str) else data
    fits = isinstance(raw, bytes | bytearray) and len(raw) == count * kind.dtype.itemsize
    if not fits or kind.dtype.hasobject:
        raise ValueError(f"the bytes of {count} cells of {kind.dtype} are missing")
    if kind.dtype.kind == "U" and raw:
        letters = np.frombuffer(raw, np.dtype("u4").newbyteorder(kind.dtype.byteorder))
        if letters.max() > _LAST_CHARACTER:
            raise ValueError("a character that does not exist")
    return raw


def _reconstruct(*_: object) -> _Array:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(kind: _Kind, data: Any = b"") -> Any:
    return np.frombuffer(_cells(data, kind, 1), kind.dtype, count=1)[0]


def _from_buffer(data: Any, kind: _Kind, shape: Any, order: str = "C", *_: object) -> NDArray[Any]:
    cells = _cells(data, kind, _count(shape))
    found = np.frombuffer(cells, kind.dtype) if cells else np.zeros(0, kind.dtype)
    return found.reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, codec: str) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in {codec!r:.40}")
    return text.encode("latin-1")


_CORES = ("numpy.core", "numpy._core")
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): None,  # only ever the first argument of _reconstruct
    ("numpy", "dtype"): _Kind,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,  # how protocol 2 writes bytes
    **{(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES},
}


def _with_plain_keys(
    load: Callable[[Any], None], keys: Callable[[Any], Iterable[Any]]
) -> Callable[[Any], None]:
    """Refuse keys that hold others: hashing a few nested tuples may take for ever."""

    def checked(unpickler: Any) -> None:
        if not all(isinstance(key, str | bytes | int | float | None) for key in keys(unpickler.stack)):
            raise DataError("csv.pickle_keys")
        load(unpickler)

    return checked


def _load_bytearray(unpickler: Any) -> None:
    """Make no more room than the file can fill."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    if length > unpickler.length:
        raise EOFError("the file ends in an array")
    room = bytearray(length)
    unpickler.readinto(room)
    unpickler.append(room)


class _Unpickler(pickle._Unpickler):
    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012
    for opcode, keys in {
        pickle.SETITEM: lambda stack: stack[-2:-1],
        pickle.SETITEMS: lambda stack: stack[::2],  # what came since the mark
        pickle.DICT: lambda stack: stack[::2],
        pickle.ADDITEMS: lambda stack: stack,
        pickle.FROZENSET: lambda stack: stack,
    }.items():
        dispatch[opcode[0]] = _with_plain_keys(dispatch[opcode[0]], keys)
    dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, encoding="latin1")
        self.length = os.fstat(stream.fileno()).st_size

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError("csv.pickle_foreign", module=module[:80], name=name[:80])
        return _ALLOWED[module, name]


def load_restricted(path: Path) -> Any:
    """Read a pickle of NumPy arrays and plain containers.

    Raises
    ------
    DataError
        The file is absent or damaged, or holds anything else; the message names what.
    """
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream).load()
    except DataError as error:
        raise DataError("csv.pickle_named", name=path.name, error=error) from error
    except OSError as error:
        raise DataError("csv.pickle_absent", path=path, strerror=error.strerror) from error
    except Exception as error:  # whatever damaged bytes make of the unpickler
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError("csv.pickle_damaged", name=path.name, reason=reason) from error
