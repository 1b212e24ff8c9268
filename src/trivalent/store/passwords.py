"""Names, passwords and tokens of accounts."""

from __future__ import annotations

import hashlib
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from trivalent.core.errors import BusyError, UsageError

SHORTEST, LONGEST = 10, 1000  # characters of a password
NAME_LIMIT = 64
KEY_PREFIX = "tv_"

HASHED_AT_ONCE, LINE = 2, 64
RETRY_S = 5.0
# letters, signs and marks that show nothing: Unicode's "default ignorable", and the blank of Braille
_UNSEEN = (
    ("\u034f", "\u034f"),
    ("\u115f", "\u1160"),
    ("\u17b4", "\u17b5"),
    ("\u180b", "\u180f"),
    ("\u2800", "\u2800"),
    ("\u3164", "\u3164"),
    ("\ufe00", "\ufe0f"),
    ("\uffa0", "\uffa0"),
    ("\U0001d159", "\U0001d159"),
    ("\U000e0000", "\U000e0fff"),
)

_hasher = PasswordHasher()  # argon2id, with the parameters that RFC 9106 recommends
_hashing = threading.BoundedSemaphore(HASHED_AT_ONCE)
_places = threading.BoundedSemaphore(LINE)


def clean_account_name(name: str) -> str:
    """Normalise the name of an account (NFC).

    Raises
    ------
    UsageError
        It has not 1 to 64 characters, or some that cannot be seen: two such names look the same.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(cleaned) <= NAME_LIMIT or visible(cleaned) != cleaned:
        raise UsageError("account.name", name_limit=NAME_LIMIT, cleaned=cleaned[:70])
    return cleaned


def visible(name: str) -> str:
    r"""Leave out what cannot be seen: controls, marks of direction, fillers, variation selectors.

    Nothing is left of a name without a single letter, digit or sign.

    >>> visible("A\u202eda\u3164"), visible("\u2800 \ufe0f\u115f"), visible("Zoë\u0301")
    ('Ada', '', 'Zoë́')
    """
    shown = "".join(
        c
        for c in name
        if c == " " or (unicodedata.category(c)[0] not in "CZ" and not any(a <= c <= b for a, b in _UNSEEN))
    ).strip()
    return shown if any(unicodedata.category(c)[0] in "LNPS" for c in shown) else ""


def name_key(name: str) -> str:
    """Form in which names are compared: without case, and with look-alike forms of a letter joined."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).strip().casefold())


def hash_password(password: str) -> str:
    """Hash with argon2id and a salt.

    Raises
    ------
    UsageError
        It has fewer than 10 or more than 1000 characters.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError("account.password_length", shortest=SHORTEST, longest=LONGEST, count=len(password))
    with turn():
        return _hasher.hash(_bytes(password))


def matches(password: str, hashed: str | None) -> bool:
    """Check a password, within a `turn`; without a hash it takes the same time to say no."""
    try:
        return _hasher.verify(hashed or _dummy(), _bytes(password[: LONGEST + 1])) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


@contextmanager
def turn() -> Iterator[None]:
    """Stand in line, and then be one of two for whom hashes are made at a time, of 64 MiB each.

    Raises
    ------
    BusyError
        More people stand there than are served within seconds.
    """
    if not _places.acquire(blocking=False):
        raise BusyError("account.many_sign_in", line=LINE, retry_s=RETRY_S, retry_after_s=RETRY_S)
    try:
        with _hashing:
            yield
    finally:
        _places.release()


def is_outdated(hashed: str) -> bool:
    """Whether a hash was made with weaker parameters than those of today."""
    return _hasher.check_needs_rehash(hashed)


def new_token() -> str:
    """Make a secret of 256 random bits, in characters that fit into an address."""
    return secrets.token_urlsafe(32)


def sha256(token: str) -> str:
    """Digest under which a token is stored; salt and slowness add nothing to 256 random bits."""
    return hashlib.sha256(_bytes(token)).hexdigest()


@cache
def _dummy() -> str:
    return _hasher.hash(secrets.token_bytes(16))


def _bytes(text: str) -> bytes:
    # NFC, since keyboards differ in how they compose letters
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
