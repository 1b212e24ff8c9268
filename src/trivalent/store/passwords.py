"""Names, passwords and tokens of accounts."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from trivalent.errors import UsageError

SHORTEST, LONGEST = 10, 1000  # characters of a password
NAME_LIMIT = 64
KEY_PREFIX = "tv_"

_hasher = PasswordHasher()  # argon2id, with the parameters that RFC 9106 recommends


def clean_account_name(name: str) -> str:
    """Normalise the name of an account (NFC).

    Raises
    ------
    UsageError
        It has not 1 to 64 characters, or some that cannot be seen.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    visible = all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in cleaned)
    if not 1 <= len(cleaned) <= NAME_LIMIT or not visible:
        raise UsageError(
            f"expected a name of 1 to {NAME_LIMIT} visible characters, got {cleaned[:70]!a}; choose another"
        )
    return cleaned


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
        raise UsageError(
            f"expected a password of {SHORTEST} to {LONGEST} characters, got {len(password)}; "
            "choose another, such as a few words"
        )
    return _hasher.hash(_bytes(password))


def matches(password: str, hashed: str | None) -> bool:
    """Check a password; without a hash it takes the same time to say no."""
    try:
        return _hasher.verify(hashed or _dummy(), _bytes(password[: LONGEST + 1])) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


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
