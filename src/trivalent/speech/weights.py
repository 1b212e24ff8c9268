"""Where the weights of a Whisper size lie; nothing is loaded before its sha256 is right."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivalent.core.assets import asset_path, cache_folder, find, sha256_of, verify
from trivalent.core.errors import AbsentAssetError, AssetError, UsageError

SIZES = (
    "tiny.en", "tiny", "base.en", "base", "small.en", "small",
    "medium.en", "medium", "large-v1", "large-v2", "large-v3", "large-v3-turbo",
)  # fmt: skip
_FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
_SUMS = "SHA256SUMS"
BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_BASE_PARTS = ("whisper-base/model.bin.part1", "whisper-base/model.bin.part2")


def model_folder(name: str) -> Path:
    """Return the folder of a Whisper size, verified; downloads it if it is nowhere.

    `tiny.en` comes with an installed package. `base` is joined from two installed packages
    when they are there. Any other size, and `base` without them, is looked for in the cache
    folder and otherwise downloaded: naming such a size is the user's consent to that.

    Raises
    ------
    UsageError
        Not a known size.
    AssetError
        Not on this machine and not to be had, or a file is not what it should be.
    """
    if name not in SIZES:
        raise UsageError("whisper.size", sizes=list(SIZES), name=name)
    if name == "tiny.en":
        folders = [asset_path(f"whisper-tiny.en/{file}").parent for file in _FILES]  # all four checked
        return folders[0]
    folder = cache_folder() / f"whisper-{name}"
    if (folder / "model.bin").is_file():
        _check(folder, name)
        return folder
    if name == "base" and (parts := _base_parts()):
        return _join_base(folder, parts)
    return _download(folder, name)


def is_present(name: str) -> bool:
    """Tell whether a size is on this machine, so that using it downloads nothing.

    >>> is_present("tiny.en"), is_present("enormous")
    (True, False)
    """
    if name == "tiny.en" or (cache_folder() / f"whisper-{name}" / "model.bin").is_file():
        return name in SIZES
    return name == "base" and all(find(part) is not None for part in _BASE_PARTS)


def _base_parts() -> list[Path] | None:
    try:
        return [asset_path(part) for part in _BASE_PARTS]
    except AbsentAssetError:
        return None


def _join_base(folder: Path, parts: list[Path]) -> Path:
    """Assemble the multilingual base model in a temporary folder, check it, put it in place."""
    with _workshop(folder) as work:
        with (work / "model.bin").open("wb") as whole:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, whole, 1 << 20)
        verify(work / "model.bin", BASE_SHA256, label="the joined whisper-base/model.bin")
        for file in _FILES[1:]:
            shutil.copyfile(asset_path(f"whisper-base/{file}"), work / file)
        return _put_in_place(work, folder)


def _download(folder: Path, name: str) -> Path:
    from faster_whisper import download_model

    with _workshop(folder) as work:
        try:
            source = Path(download_model(name, cache_dir=str(work / "hub")))
        except Exception as error:  # the hub's client raises errors of several libraries
            code = "whisper.absent_base" if name == "base" else "whisper.absent"
            raise AssetError(code, name=name, folder=folder, reason=type(error).__name__) from error
        ready = work / "ready"
        ready.mkdir()
        for file in source.iterdir():
            shutil.copyfile(file.resolve(), ready / file.name)
        return _put_in_place(ready, folder)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, so that a rename stays on one disk."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".whisper-", dir=folder.parent))
    except OSError as error:
        raise AssetError("whisper.cache", parent=folder.parent, strerror=error.strerror) from error
    try:
        yield work
    except OSError as error:
        raise AssetError("whisper.room", parent=folder.parent, error=error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(work: Path, folder: Path) -> Path:
    """Note the sha256 of every file and rename the folder: it is whole or not there."""
    sums = [f"{sha256_of(file)}  {file.name}\n" for file in sorted(work.iterdir())]
    (work / _SUMS).write_text("".join(sums), encoding="utf-8")
    try:
        work.replace(folder)
    except OSError:
        if not (folder / "model.bin").is_file():  # else another process was faster
            raise
    return folder


def _check(folder: Path, name: str) -> None:
    """Compare with the sums noted on arrival; `base` with the published one."""
    if name == "base":
        verify(folder / "model.bin", BASE_SHA256, label="whisper-base/model.bin")
    sums = folder / _SUMS
    if not sums.is_file():
        return  # put there by hand
    for line in sums.read_text(encoding="utf-8").splitlines():
        sha256, _, file = line.partition("  ")
        verify(folder / file, sha256, label=f"whisper-{name}/{file}")
