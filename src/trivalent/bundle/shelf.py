"""Bundles that users add: unpacked and tried in another process, then moved into place.

They lie in `home/bundles/NAME`. A bundle of the package cannot be shadowed by one of them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from trivalent.bundle.loading import Bundle, bundle_name, installed_bundles, load_bundle
from trivalent.core.errors import BundleError, NotFoundError
from trivalent.core.messages import Message
from trivalent.core.private_folders import TEMPORARY, PrivateFolder
from trivalent.core.settings import Settings

TRIAL_S = 180
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def folder_of(home: Path) -> Path:
    """Where the added bundles lie."""
    return home / "bundles"


def added_bundles(home: Path) -> list[str]:
    """Names of the bundles that were added, sorted."""
    found = folder_of(home).glob("*/bundle.json")
    return sorted(p.parent.name for p in found if _NAME.fullmatch(p.parent.name))


def resolve(name: str, home: Path) -> str | Path:
    """Turn a bundle's name, never a path, into what `load_bundle` takes.

    Raises
    ------
    BundleError
        Neither the package nor `home` has it.
    """
    if name in installed_bundles():
        return name
    if name in (added := added_bundles(home)):
        return folder_of(home) / name
    known = ", ".join([*installed_bundles(), *added])
    raise BundleError("shelf.unknown", known=known, name=name)


def resolve_choice(name: str, settings: Settings) -> str | Path:
    """Turn a user's choice into what `load_bundle` takes; only the settings' own model may be a path.

    Raises
    ------
    BundleError
        As `resolve`.
    """
    own = Path(settings.model)
    if name in (*installed_bundles(), *added_bundles(settings.home)) or not own.exists():
        return resolve(name, settings.home)
    return own if name in (str(own), bundle_name(own)) else resolve(name, settings.home)


def install(archive: Path, home: Path, *, replace: bool = False) -> Bundle:
    """Add a bundle from a .zip.

    A process with limits checks the archive before anything is written (number of members, sizes,
    ratio, paths, links, names that occur twice), unpacks it and tries it: every file with the sha256
    that bundle.json states and no other, graphs without external data, experts that answer. Then it
    is renamed into place, so that there is never half a bundle.

    Parameters
    ----------
    archive : Path
        A .zip with bundle.json at its top or in its only folder. Its file name has no meaning.
    home : Path
        As in the settings.
    replace : bool
        Whether an added bundle of the same name gives way.

    Raises
    ------
    BundleError
        Says what is wrong with it, or that the name is taken.
    """
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    with PrivateFolder(home / TEMPORARY) as scratch:  # of the same disk, so that a renaming moves
        unpacked = scratch / "new"
        name = _try(archive, unpacked)["name"]
        target = folder / _checked_name(name)
        _place(unpacked, target, old=scratch / "old" if replace else None)
    return load_bundle(target)


def _place(unpacked: Path, target: Path, *, old: Path | None) -> None:
    """Rename into place; with `old`, what was there is first moved to it."""
    if target.exists():
        if old is None:
            raise BundleError("shelf.taken", name=target.name)
        target.rename(old)
    try:
        unpacked.rename(target)
    except OSError as error:  # somebody else added one of this name meanwhile, or the disk failed
        if old is not None and old.exists() and not target.exists():
            old.rename(target)
        reason = error.strerror
        raise BundleError("shelf.move", name=target.name, reason=reason) from error


def remove(name: str, home: Path) -> None:
    """Delete an added bundle; analyses made with it stay.

    Raises
    ------
    NotFoundError
        No such bundle was added.
    """
    if name not in added_bundles(home):
        raise NotFoundError("shelf.own", name=name)
    with PrivateFolder(home / TEMPORARY) as scratch:
        (folder_of(home) / name).rename(scratch / name)  # gone at once, for everybody


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BundleError("shelf.name", name=name[:80])
    if name in installed_bundles():
        raise BundleError("shelf.shadow", name=name)
    return name


def _try(archive: Path, folder: Path) -> dict[str, str]:
    command = [sys.executable, "-m", "trivalent.bundle.trial", str(archive), str(folder)]
    try:
        run = subprocess.run(  # noqa: S603 - our own interpreter and module, a path that we chose
            command, capture_output=True, text=True, timeout=TRIAL_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError("shelf.slow", trial_s=TRIAL_S) from error
    lines = run.stdout.strip().splitlines()
    if run.returncode != 0 or not lines:
        raise BundleError("shelf.crash", returncode=run.returncode)
    answer: dict[str, Any] = json.loads(lines[-1])
    if "error" in answer:
        raise BundleError(Message.from_dict(answer["error"]))
    return answer
