"""Files that are either the old one or the new one, never half of each."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from trivalent.core.errors import TrivalentError


def write_text_atomic(path: str | Path, text: str) -> Path:
    """Write UTF-8 text; see `write_bytes_atomic`.

    Line ends are written as they are. A lone surrogate (half of an undecodable file name)
    becomes U+FFFD, so that a name on disk cannot stop a report.
    """
    # surrogatepass keeps the halves for one round, "replace" then turns each into U+FFFD
    return write_bytes_atomic(
        path, text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode("utf-8")
    )


def write_bytes_atomic(path: str | Path, data: bytes) -> Path:
    """Write a file through a temporary one in the same folder, then rename it.

    Parameters
    ----------
    path : str or Path
        A symbolic link keeps pointing where it points; a device such as `/dev/stdout` is
        written to directly.
    data : bytes
        The whole content.

    Returns
    -------
    Path
        Where the file lies now.

    Raises
    ------
    TrivalentError
        The folder is absent or cannot be written.
    """
    target = Path(path).expanduser()
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)  # a device or pipe: renaming onto it would replace it
            return target
        target = target.resolve()
        _replace(target, data)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        cause = getattr(error, "strerror", None) or error
        raise TrivalentError("file.write", name=target.name, cause=cause, parent=target.parent) from error
    return target


def write_npz_atomic(path: str | Path, **arrays: ArrayLike) -> Path:
    """Write arrays as a compressed .npz, without pickle; see `write_bytes_atomic`.

    Raises
    ------
    ValueError
        An array holds Python objects.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    return write_bytes_atomic(path, buffer.getvalue())


def _replace(target: Path, data: bytes) -> None:
    # opened by name, not by mkstemp, so that the file gets the user's usual permissions
    temporary = target.with_name(f".trivalent-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
