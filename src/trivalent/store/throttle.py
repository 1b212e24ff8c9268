"""How often somebody may be wrong when signing in: under one name, and from one address.

A name is locked for everybody, whether or not an account has it; an address for every name, and no other
address with it. The address's limit is far above what a household or an office mistypes, and one failure a
minute is forgotten. A connection from this computer has no address that means anything, since a proxy
in front may pass everybody on: there only names are counted.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from trivalent.core.errors import LockedError
from trivalent.core.messages import Message
from trivalent.store import passwords
from trivalent.store.schema import FailureRow

TRIES, ADDRESS_TRIES = 5, 100
LOCK_S, LONGEST_LOCK_S = 300.0, 3600.0
FORGET = timedelta(days=1)  # failures that are older count no more
ADDRESS_FORGETS = timedelta(minutes=1)  # for each failure from an address


@dataclass(frozen=True)
class Attempt:
    """An attempt that was counted as a failure; `forgive` takes it back. `locks`: no other may follow."""

    name: str
    address: str | None
    locks: bool


def count(session: Session, name_key: str, address: str | None, *, now: datetime) -> Attempt:
    """Count an attempt before it is checked, so that many at once gain nothing.

    Raises
    ------
    LockedError
        The name or the address has had too many failures.
    """
    session.execute(delete(FailureRow).where(FailureRow.last < now - FORGET))
    rows = [(_row(session, passwords.sha256(name_key), now), TRIES, "")]
    if (network := _network(address)) is not None:
        row = _row(session, passwords.sha256(f"address\0{network}"), now)
        forgotten = min(row.failures, int((now - row.last) / ADDRESS_FORGETS))
        row.failures -= forgotten
        rows.append((row, ADDRESS_TRIES, Message("account.from_address")))
    for row, tries, where in rows:
        if row.locked_until is not None and row.locked_until > now:
            seconds = (row.locked_until - now).total_seconds()
            raise LockedError(
                "account.pause",
                tries=tries,
                where=where,
                pause=_in_words(seconds),
                retry_after_s=seconds,
            )
    locks = False
    for row, tries, _ in rows:
        row.failures, row.last = row.failures + 1, now
        if row.failures >= tries:
            lock = min(LOCK_S * 2.0 ** min(row.failures - tries, 10), LONGEST_LOCK_S)
            row.locked_until, locks = now + timedelta(seconds=lock), True
    return Attempt(rows[0][0].digest, rows[1][0].digest if len(rows) > 1 else None, locks)


def forgive(session: Session, attempt: Attempt) -> None:
    """Take an attempt back that was right: the name begins anew, the address loses this one."""
    session.execute(delete(FailureRow).where(FailureRow.digest == attempt.name))
    row = None if attempt.address is None else session.get(FailureRow, attempt.address)
    if row is not None:
        row.failures -= 1
        if row.failures < ADDRESS_TRIES:
            row.locked_until = None


def _row(session: Session, digest: str, now: datetime) -> FailureRow:
    row = session.get(FailureRow, digest)
    if row is None:
        row = FailureRow(digest=digest, failures=0, last=now)
        session.add(row)
    return row


def _network(address: str | None) -> str | None:
    """Find what counts as one address: of IPv6 the /64 of a household; None for this computer.

    >>> _network("192.0.2.7"), _network("2001:db8:1:2:3::4"), _network("::ffff:192.0.2.7"), _network("::1")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7', None)
    """
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return None  # a name or nothing: no address to count under
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return None if ip.is_loopback else str(ipaddress.ip_network((ip, 64), strict=False))
        ip = ip.ipv4_mapped
    return None if ip.is_loopback else str(ip)


def _in_words(seconds: float) -> Message:
    if seconds < 90:
        return Message("account.seconds", count=seconds)
    return Message("account.minutes", count=seconds / 60)
