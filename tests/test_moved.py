"""Modules that moved answer under their former names for one version, and say so."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("trivalent.redecision", "trivalent.experts.redecide", "redecide"),
        ("trivalent.occlusion", "trivalent.experts.occlusion", "word_effects"),
        ("trivalent.bundle", "trivalent.bundle.loading", "load_bundle"),
    ],
)
def test_a_former_name(old: str, new: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=new):
        found = getattr(importlib.reload(importlib.import_module(old)), name)
    assert found is getattr(importlib.import_module(new), name)


def test_what_never_was_there_is_told() -> None:
    with pytest.raises(ImportError):
        importlib.import_module("trivalent.nothing_like_it")
