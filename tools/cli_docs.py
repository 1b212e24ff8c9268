"""Write docs/cli.md: every command, action and option, as the parsers have them.

Usage: python tools/cli_docs.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from trivalent.cli.help_texts import default_of
from trivalent.cli.main import parser
from trivalent.core.files import write_text_atomic

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
INTRO = """# The command line

Written by `python tools/cli_docs.py` from the parsers that also answer `--help`; a test compares the two.
"""


def commands_of(command: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Find the commands, or the actions of a command: their parsers and help texts by name."""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            told = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (inner, told.get(name, "")) for name, inner in action.choices.items()}
    return {}


def arguments_of(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """List what a command takes itself: what stands by its place, what is required, what is not."""
    own = [a for a in command._actions if not isinstance(a, argparse._SubParsersAction)]
    return sorted(own, key=lambda a: (bool(a.option_strings), not a.required and bool(a.option_strings)))


def page() -> str:
    """Render the whole page."""
    root = parser()
    commands = commands_of(root)
    lists = [arguments_of(command) for command, _ in commands.values()]
    everywhere = [a for a in lists[0] if all(_key(a) in map(_key, others) for others in lists)]
    common = {_key(a) for a in everywhere}
    parts = [
        INTRO,
        _table(
            ["command", "what it does"],
            ([f"[`trivalent {name}`](#trivalent-{name})", told] for name, (_, told) in commands.items()),
        ),
        "Options of `trivalent` itself:\n",
        _options([a for a in arguments_of(root) if _key(a) not in common]),
        "Options of every command, before the name of its action where it has actions:\n",
        _options(everywhere),
    ]
    for command, told in commands.values():
        parts += _section(command, told, common, level=2)
    return "\n".join(parts)


def _section(
    command: argparse.ArgumentParser, told: str, common: set[tuple[str, ...]], *, level: int
) -> Iterator[str]:
    own = [a for a in arguments_of(command) if _key(a) not in common]
    actions = commands_of(command)
    yield f"{'#' * level} {command.prog}\n"
    yield f"{command.description or told[:1].upper() + told[1:] + '.'}\n"
    if command.epilog and not actions:
        yield f"{command.epilog}\n"
    yield f"```text\n{_usage(command, own, has_actions=bool(actions))}\n```\n"
    if own:
        yield _options(own)
    if actions:
        links = (
            [f"[`{name}`](#{inner.prog.replace(' ', '-')})", words]
            for name, (inner, words) in actions.items()
        )
        yield _table(["action", "what it does"], links)
    for inner, words in actions.values():
        yield from _section(inner, words, common, level=level + 1)


def _usage(command: argparse.ArgumentParser, own: Sequence[argparse.Action], *, has_actions: bool) -> str:
    """Write what must be given in full, and the rest as [OPTIONS]."""
    needed = [_in_usage(a) for a in own if _is_needed(a)]
    optional = ["[OPTIONS]"] if any(not _is_needed(a) for a in own) else []
    return " ".join([command.prog, *(["ACTION"] if has_actions else []), *needed, *optional])


def _in_usage(action: argparse.Action) -> str:
    return " ".join([*action.option_strings[:1], _places(action)])


def _is_needed(action: argparse.Action) -> bool:
    return action.required or not action.option_strings


def _options(actions: Sequence[argparse.Action]) -> str:
    rows = []
    for action in actions:
        words = (action.help or "") % {"prog": "trivalent"}
        default = default_of(action)
        spelled = ", ".join(f"`{form}`" for form in _spelled(action))
        note = "required; " if action.required and action.option_strings else ""
        rows.append([spelled, note + words, "" if default is None else f"`{default}`"])
    return _table(["option", "what it is", "default"], rows)


def _spelled(action: argparse.Action) -> list[str]:
    """Spell an argument in all its forms, the value after the last one."""
    if not action.option_strings:
        return [_places(action)]
    *short, last = action.option_strings
    return [*short, last if action.nargs == 0 else f"{last} {_places(action)}"]


def _places(action: argparse.Action) -> str:
    """Write the value of an argument by how often it may be given."""
    choices = "|".join(map(str, action.choices)) if action.choices else None
    name = str(action.metavar or choices or (action.dest.upper() if action.option_strings else action.dest))
    return {"*": f"[{name} ...]", "+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(
        str(action.nargs), name
    )


def _key(action: argparse.Action) -> tuple[str, ...]:
    return (*action.option_strings, action.dest)


def _table(head: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_text_atomic(PAGE, page())
    print(PAGE)
