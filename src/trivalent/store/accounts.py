"""Who may sign in, and how: accounts and passwords."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from trivalent.core.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    StoreError,
    UsageError,
)
from trivalent.store import mapping, passwords, throttle
from trivalent.store.access import Access
from trivalent.store.audit import forget_name, note
from trivalent.store.database import changed
from trivalent.store.entities import Action, Actor, Deleted, Role, User
from trivalent.store.ownership import of, possible
from trivalent.store.removal import Removal, erase
from trivalent.store.schema import AnalysisRow, JobRow, KeyRow, SessionRow, UserRow

LOCAL = "local"  # issuer of the single user of a program without accounts
LONGEST_RETENTION_DAYS = 36_500


class Accounts(Access):
    """Accounts, with passwords of our own or of an identity provider; sessions and keys: `Access`."""

    def create(self, name: str, password: str, *, role: Role = Role.USER) -> User:
        """Make an account that signs in with a password.

        Raises
        ------
        UsageError
            The name has not 1 to 64 visible characters, or the password not 10 to 1000.
        StoreError
            The name is taken; case does not distinguish names.
        """
        cleaned = passwords.clean_account_name(name)
        row = _user_row(cleaned, role)
        row.name_key, row.password_hash = passwords.name_key(cleaned), passwords.hash_password(password)
        try:
            with self._database.write() as session:
                return self._made(session, row)
        except ConflictError as error:
            raise StoreError("account.taken", cleaned=cleaned) from error

    def _made(self, session: Session, row: UserRow) -> User:
        session.add(row)
        session.flush()
        note(session, self._actor, Action.ACCOUNT_MADE, row.id, role=row.role)
        return mapping.user(row)

    def verify(
        self, name: str, password: str, *, address: str | None = None, now: datetime | None = None
    ) -> User:
        """Check a name and password.

        An unknown name takes as long, fails with the same message, and locks in the same way as a
        wrong password. Each attempt is counted before it is checked, so that many at once gain
        nothing; the fifth failure locks the name for 5 minutes, each further one twice as long,
        up to an hour. A hundred failures from an address lock that address.

        Parameters
        ----------
        address : str, optional
            Where the attempt comes from; without it only names are counted.

        Raises
        ------
        AuthenticationError
            The name is unknown, the password wrong, or the account not active.
        LockedError
            Too many failures.
        BusyError
            Too many people sign in at the same moment; this attempt was not counted.
        """
        now = mapping.utc_now(now)
        key = passwords.name_key(name)
        actor = replace(self._actor, address=address or self._actor.address)
        # all within the turn: who stands in line asks nothing of the database
        with passwords.turn():
            row, hashed = self._checked(key, password, actor=actor, address=address, now=now)
        if passwords.is_outdated(hashed):
            stronger = passwords.hash_password(password)
            with self._database.write() as session:
                self._user(session, row.id).password_hash = stronger
        return mapping.user(row)

    def _checked(
        self, key: str, password: str, *, actor: Actor, address: str | None, now: datetime
    ) -> tuple[UserRow, str]:
        with self._database.write() as session:
            attempt = throttle.count(session, key, address, now=now)
        with self._database.read() as session:
            row = session.scalar(select(UserRow).where(UserRow.name_key == mapping.storable(key)))
            hashed = row.password_hash if row is not None and row.active else None
        right = passwords.matches(password, hashed)
        with self._database.write() as session:
            if right and row is not None and hashed is not None:
                throttle.forgive(session, attempt)
                note(session, replace(actor, id=row.id, name=row.name), Action.SIGN_IN, row.id)
                return row, hashed
            action = Action.SIGN_IN_LOCKED if attempt.locks else Action.SIGN_IN_FAILED
            note(session, actor, action, row.id if row else None)
        raise AuthenticationError("account.refused")

    def set_password(self, user_id: str, password: str, *, revoke_keys: bool = False) -> None:
        """Set another password, and sign the account out everywhere.

        Parameters
        ----------
        revoke_keys : bool
            Also end its API keys, which otherwise go on: whoever knew the password may have made some.

        Raises
        ------
        NotFoundError
        UsageError
            The password has not 10 to 1000 characters.
        PermissionDeniedError
            The account signs in at an identity provider.
        """
        hashed = passwords.hash_password(password)
        with self._database.write() as session:
            row = self._user(session, user_id)
            if row.issuer is not None:
                raise PermissionDeniedError("account.elsewhere", name=row.name)
            row.password_hash = hashed
            note(session, self._actor, Action.PASSWORD_CHANGED, user_id)
            self._end_access(session, user_id, keys=revoke_keys)

    def end_access(self, user_id: str) -> tuple[int, int]:
        """Sign an account out everywhere and revoke its keys; return how many sessions and keys.

        Raises
        ------
        NotFoundError
        """
        with self._database.write() as session:
            self._user(session, user_id)
            return self._end_access(session, user_id, keys=True)

    def _end_access(self, session: Session, user_id: str, *, keys: bool) -> tuple[int, int]:
        ended = changed(session, delete(SessionRow).where(of(user_id, SessionRow)))
        open_ = update(KeyRow).where(of(user_id, KeyRow), KeyRow.revoked.is_(None))
        revoked = changed(session, open_.values(revoked=mapping.utc_now())) if keys else 0
        note(session, self._actor, Action.SIGNED_OUT_EVERYWHERE, user_id, sessions=ended, keys=revoked)
        return ended, revoked

    def set_role(self, user_id: str, role: Role) -> User:
        """Change what an account may do.

        Raises
        ------
        NotFoundError
        PermissionDeniedError
            It is the last active administrator.
        """
        with self._database.write() as session:
            row = self._user(session, user_id)
            if role is not Role.ADMINISTRATOR:
                _keep_an_administrator(session, row)
            row.role = str(role)
            note(session, self._actor, Action.ROLE_CHANGED, user_id, role=str(role))
            return mapping.user(row)

    def set_active(self, user_id: str, active: bool) -> User:
        """Let an account in, or keep it out and sign it out everywhere; its data stay.

        Raises
        ------
        NotFoundError
        PermissionDeniedError
            It is the last active administrator.
        """
        with self._database.write() as session:
            row = self._user(session, user_id)
            if not active:
                _keep_an_administrator(session, row)
                session.execute(delete(SessionRow).where(of(user_id, SessionRow)))
            row.active = active
            note(session, self._actor, Action.ACTIVATED if active else Action.DEACTIVATED, user_id)
            return mapping.user(row)

    def set_preferences(self, user_id: str, *, keep_media: bool | None, retention_days: int | None) -> User:
        """Set the user's own choices; None leaves them to the program's settings.

        Raises
        ------
        NotFoundError
        UsageError
            The days are not 1 to 36500.
        """
        if retention_days is not None and not 1 <= retention_days <= LONGEST_RETENTION_DAYS:
            raise UsageError(
                "account.retention",
                longest_retention_days=LONGEST_RETENTION_DAYS,
                retention_days=retention_days,
            )
        with self._database.write() as session:
            row = self._user(session, user_id)
            row.keep_media, row.retention_days = keep_media, retention_days
            kept = None if keep_media is None else str(keep_media).lower()
            note(
                session,
                self._actor,
                Action.PREFERENCES_CHANGED,
                user_id,
                keep_media=kept,
                retention_days=retention_days,
            )
            return mapping.user(row)

    def users(self) -> list[User]:
        """List the accounts by name, without the single user of a program without accounts."""
        with self._database.read() as session:
            found = [mapping.user(row) for row in session.scalars(select(UserRow).where(_is_account()))]
        return sorted(found, key=lambda user: (mapping.folded(user.name), user.id))

    def get(self, user_id: str) -> User:
        """Fetch an account.

        Raises
        ------
        NotFoundError
        """
        with self._database.read() as session:
            return mapping.user(self._user(session, user_id))

    def delete(self, user_id: str) -> Deleted:
        """Delete an account with its analyses, jobs, media, sessions and keys; return what is gone.

        Raises
        ------
        NotFoundError
        PermissionDeniedError
            It is the last active administrator.
        """
        with self._database.read() as session:
            _keep_an_administrator(session, self._user(session, user_id))

        def end(gone: Removal, so_far: Deleted) -> None:
            row = self._user(gone.session, user_id)
            _keep_an_administrator(gone.session, row)  # another may have gone meanwhile
            gone.session.delete(row)  # the rest goes with it, by the foreign keys
            forget_name(gone.session, user_id)
            actor = replace(self._actor, name="") if self._actor.id == user_id else self._actor
            note(gone.session, actor, Action.ACCOUNT_DELETED, user_id, **so_far.counts())

        deleted = erase(
            self._database,
            self._folders,
            jobs=of(user_id, JobRow),
            analyses=of(user_id, AnalysisRow),
            end=end,
        )
        self._folders.remove_owner(user_id)
        return deleted

    def local_user(self) -> User:
        """Return the single user of a program without accounts, who may do everything."""
        return self._known(LOCAL, LOCAL, name=LOCAL, role=Role.ADMINISTRATOR)

    def let_in(self, user_id: str, address: str) -> None:
        """Note in the audit log that somebody whom a provider signed in has opened the app.

        Raises
        ------
        NotFoundError
        """
        with self._database.write() as session:
            row = self._user(session, user_id)
            actor = replace(self._actor, id=row.id, name=row.name, address=address)
            note(session, actor, Action.SIGN_IN, row.id, by="provider")

    def external_user(self, issuer: str, subject: str, name: str) -> User:
        """Return the account of somebody whom an identity provider signed in; made at the first time.

        Its name is what can be seen of the provider's, or else the account's id.

        Parameters
        ----------
        issuer, subject : str
            Claims `iss` and `sub` of the provider, which together never change hands.
        name : str
            Shown only; two accounts may have the same.

        Raises
        ------
        AuthenticationError
            The account was deactivated here.
        """
        shown = mapping.one_line(passwords.visible(" ".join(name.split())))[: passwords.NAME_LIMIT].strip()
        # the prefix keeps a provider from naming itself as the local user's
        found = self._known(f"oidc:{issuer}", subject, name=shown, role=Role.USER)
        if not found.active:
            raise AuthenticationError("account.refused")
        return found

    def _known(self, issuer: str, subject: str, *, name: str, role: Role) -> User:
        issuer, subject = mapping.storable(issuer), mapping.storable(subject)
        statement = select(UserRow).where(UserRow.issuer == issuer, UserRow.subject == subject)
        with self._database.read() as session:
            row = session.scalar(statement)
        if row is not None and row.name == (name or row.id):
            return mapping.user(row)
        with self._database.write() as session:
            row = session.scalar(statement)
            if row is None:
                row = _user_row(name, role)
                row.issuer, row.subject = issuer, subject
                self._made(session, row)
            row.name = name or row.id
            return mapping.user(row)

    def _user(self, session: Session, user_id: str) -> UserRow:
        row = session.get(UserRow, user_id) if possible([user_id]) else None
        if row is None:
            raise NotFoundError("account.absent", user_id=user_id[:40])
        return row


def _user_row(name: str, role: Role) -> UserRow:
    return UserRow(id=mapping.new_id(), name=name, role=str(role), created=mapping.utc_now(), active=True)


def _is_account() -> ColumnElement[bool]:
    return UserRow.issuer.is_distinct_from(LOCAL)


def _keep_an_administrator(session: Session, row: UserRow) -> None:
    """Refuse to take away the last account that can manage the others."""
    active = select(func.count()).where(
        _is_account(), UserRow.active.is_(True), UserRow.role == str(Role.ADMINISTRATOR)
    )
    managing = row.active and row.role == Role.ADMINISTRATOR and row.issuer != LOCAL
    if managing and session.scalar(active) == 1:
        raise PermissionDeniedError("account.last_administrator", name=row.name)
