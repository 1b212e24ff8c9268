"""`trivalent extract`: features of any media file as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from trivalent.cli.saying import say
from trivalent.core.errors import UsageError
from trivalent.core.types import FeatureTable
from trivalent.features.extractor import Extractor, defaults
from trivalent.features.registry import OWN, extractor, extractor_names, own_extractors

_UNITS = {"hz": "HZ", "s": "S"}  # that end the name of a field, but not of its option
_SWITCH = {"true": True, "false": False}


def register(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        "extract", help="write features of a recording or text", description=__doc__
    )
    ours = ", ".join(e.name for e in own_extractors())
    command.add_argument(
        "extractor",
        type=_name,
        metavar="EXTRACTOR",
        help=f"{ours}; or one of another package",
    )
    command.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="video, audio or text file; for openface also a CSV of its program",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="F",
        help="table to write: .npz, .csv or .parquet",
    )
    command.add_argument("--columns", default=None, metavar="LIST", help="only these columns")
    command.add_argument(
        "--layout",
        choices=["openface", "trivalent"],
        default="openface",
        help="openface, a .csv: as the program writes it, or with time_s and our own columns",
    )
    command.add_argument("--transcript", type=Path, metavar="F", help="words instead of recognition")
    _add_options(command)
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of an extractor of another package; may be given again",
    )
    return command


def run(arguments: argparse.Namespace) -> int:
    """Extract and write one table; print a line about it."""
    from trivalent.extract import extract
    from trivalent.features.tables import check_suffix

    check_suffix(arguments.output)
    if arguments.columns is not None and not arguments.columns.strip():
        raise UsageError("cli.columns_none")
    given = vars(arguments)
    named = {one.name for own in own_extractors() for one in fields(own.options)}
    table = extract(
        arguments.extractor,
        arguments.source,
        columns=None if arguments.columns is None else arguments.columns.split(","),
        transcript=arguments.transcript,
        **{name: given[name] for name in named & given.keys()},
        **_settings(extractor(arguments.extractor), arguments.set),
    )
    _write(table, arguments.output, layout=arguments.layout, all_columns=arguments.columns is None)
    state = str(table.status) if table.reason is None else f"{table.status}: {table.reason}"
    say(f"{arguments.output}: {len(table)} rows, {len(table.columns)} columns, {state}")
    return 0


def _write(table: FeatureTable, path: Path, *, layout: str, all_columns: bool) -> None:
    """Write a table; one of OpenFace's as CSV in the form of the program, so that other tools read it."""
    from trivalent.features.openface.columns import COLUMNS, NAME
    from trivalent.features.openface.csv_file import write_openface
    from trivalent.features.tables import write_table

    if layout != NAME or table.extractor != NAME or path.suffix.lower() != ".csv":
        write_table(table, path)
        return
    if all_columns:  # ours have no place there
        table = table.select([name for name in table.columns if name in COLUMNS])
    write_openface(table, path)


def _name(text: str) -> str:
    """Check a name; those of other packages are looked for only if it is none of ours."""
    if text not in OWN and text not in extractor_names():
        listed = ", ".join(map(repr, sorted(extractor_names())))
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {listed})")
    return text


def _add_options(command: argparse.ArgumentParser) -> None:
    """Add a flag for each field of our extractors' options; what is not given they decide."""
    fields_by_name: dict[str, list[tuple[Extractor, Field[Any]]]] = {}
    for own in own_extractors():
        for one in fields(own.options):
            fields_by_name.setdefault(one.name, []).append((own, one))
    for name, users in fields_by_name.items():
        own, one = users[0]
        kind, choices = _kind(own, name)
        stem, _, unit = name.rpartition("_")
        flag = stem if unit in _UNITS else name
        how: dict[str, Any] = {"type": kind, "choices": choices}
        how["metavar"] = _UNITS.get(unit, one.metadata.get("metavar"))
        command.add_argument(
            f"--{flag.replace('_', '-')}",
            dest=name,
            default=argparse.SUPPRESS,
            help=f"{', '.join(user.name for user, _ in users)}: {one.metadata['help']}",
            **({"action": "store_true"} if kind is bool else how),
        )


def _kind(of: Extractor, name: str) -> tuple[type, Sequence[str] | None]:
    """Type of an option, and what may be chosen if that is limited."""
    hint = get_type_hints(of.options)[name]
    if get_origin(hint) is Literal:
        return str, get_args(hint)
    (kind,) = [part for part in get_args(hint) or (hint,) if part is not NoneType]
    return kind, None


def _settings(of: Extractor, pairs: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE by the types of an extractor's options."""
    read: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in defaults(of):
            listed = ", ".join(defaults(of)) or "it has none"
            raise UsageError("extract.set_name", name=of.name, listed=listed, pair=pair)
        kind, choices = _kind(of, name)
        try:
            read[name] = _SWITCH[text] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise UsageError("extract.set_kind", kind=kind.__name__, name=name, text=text) from error
        if choices and text not in choices:
            raise UsageError("extract.set_choice", choices=" or ".join(choices), name=name, text=text)
    return read


__all__ = ["register", "run"]
