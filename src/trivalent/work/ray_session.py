"""Ray for a batch: a cluster that somebody runs, or one of our own on this machine alone.

Left to itself, Ray on one machine asks the metadata services of three clouds whether it runs there,
even with its usage statistics off, listens at the machine's network address, and keeps its logs
and a token for good. Ours asks nobody, is reached by nobody, and leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from trivalent.core.errors import MissingExtraError

# Ray's sockets lie 64 characters below its folder, and the path of a socket has 107 at most
_LONGEST_FOLDER = 43
_NAME = "ray-12345678"


@contextmanager
def ray_session(workers: int, address: str | None) -> Iterator[Any]:
    """Connect to the cluster at an address, or start one with this many workers; gives the module `ray`.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    """
    with ExitStack() as stack:
        if address is not None:
            ray = _start(address=address)
        else:
            folder = stack.enter_context(_short_folder())
            with _settled(Path(folder)) as options:
                ray = _start(num_cpus=workers, _temp_dir=folder, **options)
        stack.callback(ray.shutdown)
        yield ray


def _start(**options: Any) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False, **options)
    return ray


def _short_folder() -> tempfile.TemporaryDirectory[str]:
    parent = tempfile.gettempdir()
    short = parent if len(parent) + 1 + len(_NAME) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    return tempfile.TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True)


@cache
def _token() -> str:
    """One for all sessions of this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _settled(folder: Path) -> Iterator[dict[str, Any]]:
    """Variables under which Ray has to be imported and started; gives options for it."""
    os.environ |= {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: listen on loopback only
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _token(),
    }
    # a cluster described in its home runs in no cloud, so that none is asked; the workers get ours back
    (folder / "ray_bootstrap_config.yaml").write_text("{}", encoding="ascii")
    home = str(Path.home())
    os.environ["HOME"] = str(folder)
    try:
        yield {"runtime_env": {"env_vars": {"HOME": home}}}
    finally:
        os.environ["HOME"] = home
