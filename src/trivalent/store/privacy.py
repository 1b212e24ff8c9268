"""What the store keeps is its owner's alone: modes of the folders and files, set at every opening."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
OTHERS = 0o077  # rights of the group and of everybody else


def make_private(place: Path, *, within: Iterable[Path] = ()) -> None:
    """Take every right of others from a folder or file of ours, and from what lies `within` it.

    Only what is named is touched, so that a folder which holds other things, too, loses none of its
    own ways. Links are not followed. A warning tells what others could read until now, or what
    cannot be changed. Where the system knows no modes (Windows), nothing happens.
    """
    if os.name != "posix" or not place.exists():
        return
    place = place.resolve()
    mode = place.stat().st_mode
    if mode & stat.S_ISVTX:
        log.warning(
            "expected a folder of Trivalent's own, got %r, in which everybody keeps files; others may see "
            "what lies there: choose another",
            str(place),
        )
        return
    opened, refused = 0, []
    # the folder itself first: whoever is shut out there reaches nothing below
    for path in (place, *_all(within)):
        try:
            opened += _close(path)
        except FileNotFoundError:  # a file of a job that is over by now
            continue
        except OSError:  # somebody else's, or a disk that cannot be written
            refused.append(path)
    if refused:
        log.warning(
            "%r cannot be made private, and others may read it; its owner can: chmod -R go= %s",
            str(refused[0]),
            str(place),
        )
    elif opened and mode & OTHERS:
        log.warning(
            "others on this computer could read %d files at %r (mode %o); they are private from now on "
            "(mode %o)",
            opened,
            str(place),
            stat.S_IMODE(mode),
            stat.S_IMODE(mode) & ~OTHERS,
        )


def create_private(file: Path) -> None:
    """Create an empty file that only its owner may read, unless something is there already."""
    with suppress(OSError):  # whoever opens it next says what is wrong
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _all(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        yield place
        if place.is_symlink():
            continue
        for folder, folders, files in os.walk(place):
            yield from (Path(folder, name) for name in (*folders, *files))


def _close(path: Path) -> bool:
    """Take the rights of others from one file or folder; tell whether it was a file with some."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode) or not mode & OTHERS:
        return False
    path.chmod(stat.S_IMODE(mode) & ~OTHERS)
    return stat.S_ISREG(mode)
