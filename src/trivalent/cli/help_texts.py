"""What `--help` says of an option: its help text, and its default after it."""

from __future__ import annotations

import argparse


def default_of(action: argparse.Action) -> str | None:
    """Write the default of an option; None where there is none to tell, as of a switch.

    >>> default_of(argparse.ArgumentParser().add_argument("--rate", type=float, default=5.0))
    '5'
    """
    default = action.default
    if not action.option_strings or action.nargs == 0 or default in (None, argparse.SUPPRESS, []):
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


class HelpWithDefaults(argparse.HelpFormatter):
    """Appends the default, which no help text repeats by hand."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = default_of(action)
        if default is None:
            return action.help
        return f"{action.help} (default: {default.replace('%', '%%')})"
