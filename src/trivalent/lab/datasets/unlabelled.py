"""Texts without labels, about which teachers are asked.

Chit-Chat (BYU Perception, Control and Cognition Laboratory, 2018; MIT): 7,168 conversations of
students on their telephones, in the words of talk rather than of reviews.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trivalent.core.assets import asset_path
from trivalent.core.errors import DataError
from trivalent.lab.named_choices import check_known

WORDS = (3, 40)  # of a message: shorter ones are mostly greetings, longer ones pasted


@dataclass(frozen=True)
class Unlabelled:
    """Title with licence of a corpus, and how it is read."""

    title: str
    read: Callable[[], Iterator[str]]


@cache
def load_unlabelled(name: str) -> tuple[str, ...]:
    """Read a corpus; each text once, in the order of the file.

    Raises
    ------
    UsageError
        There is no corpus of that name.
    AssetError
        Its file is not on this machine.
    DataError
        The file has another structure.
    """
    check_known("corpus without labels", name, UNLABELLED)
    return tuple(dict.fromkeys(UNLABELLED[name].read()))


def _chitchat() -> Iterator[str]:
    path = asset_path("chitchat/dataset.json")
    for message in _messages(path):
        text = " ".join(message.split())
        if WORDS[0] <= len(text.split()) <= WORDS[1]:
            yield text


def _messages(path: Path) -> list[str]:
    try:
        conversations = json.loads(path.read_text(encoding="utf-8"))
        return [
            message["text"]
            for conversation in conversations.values()
            for turn in conversation["messages"]
            for message in turn
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("corpus.conversations", path=path, error=error) from error


UNLABELLED: Mapping[str, Unlabelled] = {"chitchat": Unlabelled("Chit-Chat (MIT)", _chitchat)}
