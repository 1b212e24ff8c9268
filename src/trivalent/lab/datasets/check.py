"""Whether the files of a data set are there and whole, and give the samples of its protocols."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trivalent.core.errors import DataError, TrivalentError
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.verify import verify_file
from trivalent.lab.progress import track


def check(entry: Entry, root: Path, *, deep: bool = False) -> dict[str, Any]:
    """Look at every official file and read every protocol.

    Parameters
    ----------
    entry : Entry
    root : Path
        Data root.
    deep : bool
        Read every key of computational sequences and every member of archives, which may take
        minutes, instead of only opening them.

    Returns
    -------
    dict
        JSON object: `ok` is False if a file that is there is damaged or not the official one, or
        if no protocol can be read; absent files alone do no harm as long as one can.
        `files` has a `status` (ok, absent, damaged) for each, `protocols` a `status` (reproduced,
        read, failed) for each, with a `reason` where it is not good.
    """
    files = [_file(official, root, deep) for official in track(entry.files, "files")]
    protocols = [_protocol(entry, protocol, root) for protocol in entry.protocols]
    readable = any(p["status"] != "failed" for p in protocols)
    return {
        "dataset": entry.name,
        "root": str(root.absolute()),
        "ok": readable and all(f["status"] != "damaged" for f in files),
        "files": files,
        "protocols": protocols,
    }


def _file(official: OfficialFile, root: Path, deep: bool) -> dict[str, Any]:
    path = root / official.path
    if not path.exists():
        return {"path": official.path, "status": "absent", "fetchable": bool(official.urls)}
    try:
        facts = verify_file(path, official, deep=deep)
    except DataError as error:
        return {"path": official.path, "status": "damaged", "reason": str(error)}
    except OSError as error:
        reason = f"expected a readable file, got: {error.strerror}; see to its rights"
        return {"path": official.path, "status": "damaged", "reason": reason}
    if bad := facts.get("damaged_keys"):
        reason = (
            f"expected {facts['keys']} readable keys, {len(bad)} are damaged, first {bad[0]!r}; get it anew"
        )
        return {"path": official.path, "status": "damaged", "reason": reason, **facts}
    return {"path": official.path, "status": "ok", **facts}


def _protocol(entry: Entry, protocol: Protocol, root: Path) -> dict[str, Any]:
    try:
        data = entry.read(root, protocol.name, features=False)
    except TrivalentError as error:
        return {"name": protocol.name, "status": "failed", "reason": str(error)}
    status = "reproduced" if protocol.counts and not data.synthetic else "read"
    return {"name": protocol.name, "status": status, "samples": len(data), "synthetic": data.synthetic}


def render_check(content: Mapping[str, Any]) -> str:
    """Lay the result out as plain text."""
    lines = [f"{content['dataset']} at {content['root']}", ""]
    width = max((len(f["path"]) for f in content["files"]), default=0) + 2
    lines += [f"{f['path']:{width}}{f['status']:9}{_told(f)}".rstrip() for f in content["files"]]
    lines += [""] if content["files"] else []
    for p in content["protocols"]:
        name = f"protocol {p['name']}"
        lines.append(f"{name:{max(width, 26)}}{_READ[p['status']]}{_samples(p)}")
    if any(f.get("fetchable") for f in content["files"]):
        lines += ["", f"absent files that have an address: trivalent data fetch {content['dataset']}"]
    return "\n".join(lines)


_READ = {
    "reproduced": "known counts reproduced",
    "read": "read, no counts known",
    "failed": "not readable: ",
}


def _samples(protocol: Mapping[str, Any]) -> str:
    return protocol["reason"] if "reason" in protocol else f", {protocol['samples']:,} samples"


def _told(file: Mapping[str, Any]) -> str:
    """Say in words what was found in a file."""
    if "reason" in file:
        return str(file["reason"])
    parts = [f"{file['bytes']:,} bytes"] if "bytes" in file else []
    parts += ["sha256 as known"] if file.get("sha256") else []
    parts += [f"{file['keys']:,} keys"] if "keys" in file else []
    if fold := file.get("fold"):
        total = fold["present"] + fold["missing"]
        parts.append(f"{fold['present']:,} of the {total:,} videos of the standard folds")
    parts += ["every key readable"] if "damaged_keys" in file else []
    parts += ["SYNTHETIC: values drawn at random"] if file.get("synthetic") else []
    parts += [f"not opened ({file['unopened']})"] if "unopened" in file else []
    return ", ".join(parts)
