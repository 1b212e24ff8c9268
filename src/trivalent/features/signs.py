"""Emoji as words: what faces, hearts and hands say, for a vocabulary that has none of them.

The phrases are those that people say in their stead. A sign that has no phrase is left out, and told.
"""

from __future__ import annotations

import re
import unicodedata

# What means now this and now that (a skull, one star, folded hands upside down) has none.
_PHRASES = {
    "love it": "😍🥰😘😻💕💖💗💘💝💞💓💟❤♥♡💙💚💛💜🤍🤎🖤🧡🩷🩵🩶❣🫶💋😚😙😗🤩💌💑💏🥹",
    "happy": "😀😃😄😁😊☺🙂😌😇🤗😺😸🌞🌈😎🤠🙌",
    "haha": "😂🤣😆😹😝😜😛🤪😋",
    "great": "👍👏👌💯🔥🏆🥇🎖✨💪🤘🤟",
    "yay": "🎉🎊🥳🎈🎂🍾🥂🍻🕺💃",
    "thanks": "🙏",
    "so angry": "😠😡🤬👿😾💢😤🖕",
    "terrible": "👎💩🤮🤢🚮",
    "sad": "😢😭😞😔😟🙁☹😥😓😿😪💔😦😧😩😫😖😣🥀",
    "annoyed": "🙄😒😑🤨🤦",
    "scared": "😱😨😰🫣",
    "tired": "🥱😴",
    "bad": "❌🚫⛔😬😕🫤",
    "sick": "🤒🤕😷",
}
_TABLE = {sign: phrase for phrase, signs in _PHRASES.items() for sign in signs}
_VOCABULARY = frozenset("©®°™№■▪●★☆☉♠♣♦♭♯─│←↑→↓↔↦⇄⇌⇒")  # signs that the vocabulary of English has
_JOINER = "\u200d"
_DRAWING = re.compile(
    "[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]|\u200d[\u2640\u2642\u27a1]"
)  # not what it is
_RANGES = ((0x2190, 0x2BFF), (0x3030, 0x303D), (0x1F000, 0x1FBFF))


def _pictures() -> str:
    codes = (chr(code) for low, high in _RANGES for code in range(low, high + 1))
    drawn = {c for c in codes if unicodedata.category(c) in ("So", "Cn")}
    return "".join(sorted((drawn - _VOCABULARY) | _TABLE.keys()))


_PICTURE = _pictures()
_RUN = re.compile(f"[{_PICTURE}{_JOINER}]+")


def spell_signs(text: str) -> str:
    """Put words for the signs that have some, once for a run of one kind; leave out those without.

    >>> spell_signs("my new phone 😡😡😡"), spell_signs("so good👍🏽!"), spell_signs("a 🦖 there")
    ('my new phone so angry ', 'so good great !', 'a   there')
    """
    return text if text.isascii() else _RUN.sub(_spelt, _DRAWING.sub("", text))


def _spelt(run: re.Match[str]) -> str:
    phrases = (_TABLE[sign] for sign in run[0] if sign in _TABLE)
    return " ".join(("", *dict.fromkeys(phrases), ""))


def unknown_signs(text: str) -> tuple[str, ...]:
    """Name the signs of a text that say nothing to an expert, each once, in their order.

    >>> unknown_signs("my 🦖 is 😍, a 🦖")
    ('🦖',)
    """
    if text.isascii():
        return ()
    found = (sign for run in _RUN.findall(_DRAWING.sub("", text)) for sign in run)
    return tuple(dict.fromkeys(sign for sign in found if sign != _JOINER and sign not in _TABLE))


__all__ = ["spell_signs", "unknown_signs"]
