"""What `trivalent data` tells, asked of the command itself in a process of its own.

The lab reads data sets with libraries that the app need not have, and may need much memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from trivalent.core.errors import DataError, MissingExtraError
from trivalent.core.messages import VARIABLE
from trivalent.web.i18n import language

TIMEOUT_S = 300
ROOT_VARIABLE = "TRIVALENT_DATA"


def listing() -> dict[str, dict[str, Any]]:
    """Title, protocols, licence and homepage of every data set, by name.

    Raises
    ------
    MissingExtraError
        The lab's libraries are not installed.
    DataError
        The command failed otherwise.
    """
    return _ask("list")


def information(name: str, protocol: str) -> dict[str, Any]:
    """Sizes, classes and gaps of a data set under `$TRIVALENT_DATA`, as `trivalent data info` tells them.

    Raises
    ------
    MissingExtraError
        The lab's libraries are not installed.
    DataError
        The data are absent, damaged, or not what the protocol says.
    """
    return _ask("info", name, "--protocol", protocol)


def has_root() -> bool:
    """Whether anybody said where the data lie."""
    return bool(os.environ.get(ROOT_VARIABLE))


def _ask(*arguments: str) -> dict[str, Any]:
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train")
    command = [sys.executable, "-m", "trivalent.cli.main", "data", *arguments, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", VARIABLE: language()}
    try:
        run = subprocess.run(  # noqa: S603 - our own interpreter and module; names are of the registry
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise DataError("dataset.data_page_timeout", timeout_s=TIMEOUT_S) from error
    if run.returncode == 0:
        answer: dict[str, Any] = json.loads(run.stdout)
        return answer
    last = (run.stderr.strip().splitlines() or ["no message"])[-1]
    raise DataError(last.removeprefix("trivalent: "))
