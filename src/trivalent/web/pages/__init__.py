"""The pages, in the order of the navigation.

A page is a module here with a function `show()`; its title is the text `common.page_<name>`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from trivalent.core.settings import Auth, Settings

if TYPE_CHECKING:
    from trivalent.store import User


def _everybody(_: Settings, __: User) -> bool:
    return True


@dataclass(frozen=True)
class Entry:
    """One page in the navigation.

    Attributes
    ----------
    name : str
        Module in this package, path of its address, and key of its title.
    section : str
        Group in the navigation: `work`, `library` or `help`.
    icon : str
        A Material symbol, which Streamlit ships.
    allowed : callable
        Whether a user sees the page, given the settings and the user.
    """

    name: str
    section: str
    icon: str
    allowed: Callable[[Settings, User], bool] = _everybody

    def show(self) -> None:
        """Make the page."""
        import_module(f"{__name__}.{self.name}").show()


def _administrators(settings: Settings, user: User) -> bool:
    return settings.auth is not Auth.NONE and user.role == "administrator"


ENTRIES = (
    Entry("analyze", "work", ":material/graphic_eq:"),
    Entry("batch", "work", ":material/folder_copy:"),
    Entry("history", "work", ":material/history:"),
    Entry("compare", "work", ":material/compare_arrows:"),
    Entry("models", "library", ":material/deployed_code:"),
    Entry("data", "library", ":material/database:"),
    Entry("benchmarks", "library", ":material/table_chart:"),
    Entry("guide", "help", ":material/menu_book:"),
    Entry("account", "help", ":material/manage_accounts:"),
    Entry("accounts", "help", ":material/group:", _administrators),
    Entry("audit", "help", ":material/policy:", _administrators),
)
