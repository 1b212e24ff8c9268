"""OpenFace 2 on a video, by the user's own copy of its program.

We neither ship nor download OpenFace: its licence forbids commercial use, and each user has to
accept it. The program runs without a shell, in a folder that is removed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trivalent.core.errors import FeatureError
from trivalent.core.messages import Message
from trivalent.core.types import FeatureTable
from trivalent.features.openface.csv_file import read_openface
from trivalent.features.openface.models import ENVIRONMENT

PROGRAM = "FeatureExtraction"
TIMEOUT_S = 3600.0
# All groups of columns; naming them keeps OpenFace from writing pictures and a video, too.
_GROUPS = ("-2Dfp", "-3Dfp", "-pdmparams", "-pose", "-aus", "-gaze")
_REMEDY = Message("openface.remedy", environment=ENVIRONMENT)
_PLACES = (".", "bin", "build/bin", "..")  # of the program, in what the variable names
_LOG_END = 65536  # bytes of a log that are looked at


def find_openface() -> Path:
    """Find the program: $TRIVALENT_OPENFACE (the file, or the copy of OpenFace), else on the PATH.

    Raises
    ------
    FeatureError
        It is not there, or not executable.
    """
    named = os.environ.get(ENVIRONMENT)
    if not named:
        found = shutil.which(PROGRAM)
        if found is None:
            raise FeatureError("openface.absent", program=PROGRAM, remedy=_REMEDY)
        return Path(found).absolute()
    path = Path(named).expanduser()
    if path.is_dir():
        name = f"{PROGRAM}.exe" if sys.platform == "win32" else PROGRAM
        path = next((path / place / name for place in _PLACES if (path / place / name).is_file()), path)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise FeatureError(
            "openface.environment", program=PROGRAM, environment=ENVIRONMENT, named=named, remedy=_REMEDY
        )
    return path.absolute()


def run_openface(
    video: str | Path,
    *,
    columns: Sequence[str] | None = None,
    timeout_s: float = TIMEOUT_S,
    program: Path | None = None,
) -> FeatureTable:
    """Run `FeatureExtraction` on a video and read what it writes.

    Parameters
    ----------
    video : str or Path
    columns : sequence of str, optional
        See `trivalent.features.openface.csv_file.read_openface`.
    timeout_s : float
        The program and all that it started are killed after so many seconds.
    program : Path, optional
        `find_openface()` by default.

    Returns
    -------
    FeatureTable
        A row per frame of the video, NaN where no face was found.

    Raises
    ------
    FeatureError
        The program is absent, cannot be started, fails, takes too long or writes no CSV.
    DataError
        What it wrote is not a CSV of OpenFace, or lacks a column.
    """
    source, executable = Path(video).absolute(), program or find_openface()
    with tempfile.TemporaryDirectory(prefix="trivalent-openface-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        out = folder / "out"
        out.mkdir()
        command = [str(executable), "-f", str(source), "-out_dir", str(out), *_GROUPS]
        _run(command, folder, timeout_s=timeout_s, source=source)
        written = sorted(out.glob("*.csv"))
        if not written:
            raise FeatureError(
                "openface.no_csv", program=PROGRAM, name=source.name, last_line=_last_line(folder)
            )
        table = read_openface(written[0], columns)
    return replace(table, meta={**table.meta, "video": source.name})


def _run(command: Sequence[str], folder: Path, *, timeout_s: float, source: Path) -> None:
    with (folder / "stdout.log").open("wb") as said, (folder / "stderr.log").open("wb") as failed:
        try:
            # A session of its own, so that everything it starts can be killed with it.
            process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=failed,
                start_new_session=True,
            )
        except OSError as error:
            raise FeatureError(
                "openface.not_run", command=command[0], reason=error.strerror or error, remedy=_REMEDY
            ) from error
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise FeatureError(
                "openface.slow", program=PROGRAM, name=source.name, timeout_s=timeout_s
            ) from None
        except BaseException:  # Ctrl-C does not reach another session
            _kill(process)
            raise
    if status != 0:
        raise FeatureError(
            "openface.failed",
            program=PROGRAM,
            name=source.name,
            status=status,
            last_line=_last_line(folder),
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(folder: Path) -> str:
    """Last words of the program: of its errors, else of its output."""
    for name in ("stderr.log", "stdout.log"):
        with (folder / name).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_END))
            lines = stream.read().decode("utf-8", "replace").split("\n")
        said = [" ".join(line.split()) for line in lines if line.strip()]
        if said:
            return said[-1][:300]
    return "it said nothing"


__all__ = [
    "PROGRAM",
    "TIMEOUT_S",
    "find_openface",
    "run_openface",
]
