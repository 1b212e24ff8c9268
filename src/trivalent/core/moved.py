"""Modules under their names of version 0.1, which go with version 0.3: each warns, and is the new one."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "trivalent.occlusion": "trivalent.experts.occlusion",
    "trivalent.redecision": "trivalent.experts.redecide",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers the old names with the new modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return warned(spec.name, MOVED[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it is loaded."""


def warned(old: str, new: str) -> ModuleType:
    """Import a module by its new name, and tell whoever asked for it by the old one."""
    warnings.warn(f"{old} is {new} now; the old name goes with 0.3", DeprecationWarning, stacklevel=3)
    return importlib.import_module(new)


def answer_old_names() -> None:
    """Let the old names be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
