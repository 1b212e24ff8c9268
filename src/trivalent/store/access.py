"""Sessions of browsers and keys of the service: random tokens, of which only digests are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from trivalent.core.errors import AuthenticationError, UsageError
from trivalent.store import mapping, passwords
from trivalent.store.audit import note
from trivalent.store.database import Database
from trivalent.store.entities import Action, Actor, ApiKey, Origin, Role, User
from trivalent.store.folders import Folders
from trivalent.store.ownership import of, one
from trivalent.store.schema import AuditRow, KeyRow, SessionRow, UserRow

TOUCH = timedelta(minutes=1)  # how exactly the last use of a key is noted
NOTED = timedelta(days=1)  # how often the audit log tells of it, for each address
MOST_PER_MINUTE = 1_000_000


class Access:
    """Sessions and keys; the part of `Accounts` that knows tokens rather than passwords."""

    def __init__(self, database: Database, folders: Folders, *, user_rate: int, actor: Actor) -> None:
        self._database, self._folders = database, folders
        self._user_rate, self._actor = user_rate, actor

    def open_session(self, user: User, *, days: float = 30, now: datetime | None = None) -> str:
        """Sign an account in; return the token, which is not stored and shown only here."""
        now = mapping.utc_now(now)
        token = passwords.new_token()
        with self._database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires <= now))
            session.add(
                SessionRow(
                    owner_id=user.id,
                    token_sha256=passwords.sha256(token),
                    created=now,
                    expires=now + timedelta(days=days),
                )
            )
        return token

    def session_user(self, token: str, *, now: datetime | None = None) -> User | None:
        """Find who is signed in with a token; None when nobody is, any more."""
        statement = (
            select(UserRow)
            .join(SessionRow, SessionRow.owner_id == UserRow.id)
            .where(
                SessionRow.token_sha256 == passwords.sha256(token),
                SessionRow.expires > mapping.utc_now(now),
                UserRow.active.is_(True),
            )
        )
        with self._database.read() as session:
            row = session.scalar(statement)
            return None if row is None else mapping.user(row)

    def close_session(self, token: str) -> None:
        """Sign out; a token of nobody changes nothing."""
        with self._database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_sha256 == passwords.sha256(token)))

    def create_key(self, user: User, label: str, *, per_minute: int = 60) -> tuple[ApiKey, str]:
        """Make a key; the secret, second in the pair, is not stored and shown only here.

        Users give their keys at most the rate of the settings; administrators and whoever works at
        the command line may give more.

        Raises
        ------
        UsageError
            The label is empty or too long, or the rate is too high or below 1.
        """
        secret = passwords.KEY_PREFIX + passwords.new_token()
        row = KeyRow(
            id=mapping.new_id(),
            owner_id=user.id,
            label=mapping.clean_name(label, what="key"),
            prefix=secret[:8],
            secret_sha256=passwords.sha256(secret),
            per_minute=per_minute,
            created=mapping.utc_now(),
        )
        with self._database.write() as session:
            highest = MOST_PER_MINUTE if self._may_give_more(session, user) else self._user_rate
            if not 1 <= per_minute <= highest:
                raise UsageError("account.key_rate", highest=highest, per_minute=per_minute)
            session.add(row)
            session.flush()
            note(
                session,
                self._actor.or_owner(user),
                Action.KEY_MADE,
                user.id,
                key=row.id,
                per_minute=per_minute,
            )
            return mapping.api_key(row), secret

    def highest_rate(self, user: User) -> int:
        """Most requests a minute that this account may give its own keys."""
        return MOST_PER_MINUTE if user.role is Role.ADMINISTRATOR else self._user_rate

    def _may_give_more(self, session: Session, owner: User) -> bool:
        if self._actor.id is None and self._actor.origin in (Origin.CLI, Origin.PYTHON):
            return True
        row = session.get(UserRow, self._actor.id or owner.id)
        return row is not None and row.active and row.role == Role.ADMINISTRATOR

    def verify_key(
        self, secret: str, *, address: str = "", now: datetime | None = None
    ) -> tuple[User, ApiKey]:
        """Find whose key this is; the audit log tells of its use once a day for each address.

        Raises
        ------
        AuthenticationError
            It is none, it was revoked, or its account is not active.
        """
        now = mapping.utc_now(now)
        statement = (
            select(KeyRow, UserRow)
            .join(UserRow, UserRow.id == KeyRow.owner_id)
            .where(
                KeyRow.secret_sha256 == passwords.sha256(secret),
                KeyRow.revoked.is_(None),
                UserRow.active.is_(True),
            )
        )
        with self._database.read() as session:
            found = session.execute(statement).first()
            if found is None:
                raise AuthenticationError("account.key_invalid")
            key, owner = found
            noted = session.scalar(_noted(key.id, address[:100], since=now - NOTED))
        if not noted or key.last_used is None or now - key.last_used >= TOUCH:
            with self._database.write() as session:
                row = session.get(KeyRow, key.id)
                if row is not None:
                    row.last_used = now
                if not noted:
                    who = Actor(owner.id, owner.name, address, self._actor.origin)
                    note(session, who, Action.KEY_USED, key.id)
        return mapping.user(owner), mapping.api_key(key)

    def keys(self, user: User) -> Sequence[ApiKey]:
        """List the keys of an account, newest first, with those that were revoked."""
        statement = select(KeyRow).where(of(user.id, KeyRow)).order_by(KeyRow.created.desc(), KeyRow.id)
        with self._database.read() as session:
            return [mapping.api_key(row) for row in session.scalars(statement)]

    def revoke_key(self, user: User, key_id: str) -> ApiKey:
        """End a key at once.

        Raises
        ------
        NotFoundError
            It is none of this account's.
        """
        with self._database.write() as session:
            row = one(session, KeyRow, user.id, id_=key_id)
            if row.revoked is None:
                row.revoked = mapping.utc_now()
                note(session, self._actor.or_owner(user), Action.KEY_REVOKED, user.id, key=key_id)
            return mapping.api_key(row)


def _noted(key_id: str, address: str, *, since: datetime) -> Select[int]:
    """Find out whether the use of a key from an address was noted."""
    return (
        select(AuditRow.id)
        .where(
            AuditRow.subject_id == key_id,
            AuditRow.at > since,
            AuditRow.action == str(Action.KEY_USED),
            AuditRow.address == address,
        )
        .limit(1)
    )
