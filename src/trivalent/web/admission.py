"""How somebody was let in, and that it still holds: asked of the store at every action.

A page lives on in its web socket after the account behind it was closed, and parts of it run without
the whole (fragments, callbacks, downloads that are made later). So nothing here remembers an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trivalent.core.errors import AuthenticationError, NotFoundError, StoreError

if TYPE_CHECKING:
    from trivalent.store import Accounts, User


@dataclass(frozen=True)
class Admission:
    """Who was let in, by the session of ours that says so, or without one.

    Attributes
    ----------
    accounts : callable
        Returns the accounts to ask.
    user_id : str
    token : str, optional
        Of a session that began with a password. None where there are no accounts, or where an identity
        provider vouched: there the account itself is asked.
    """

    accounts: Callable[[], Accounts]
    user_id: str
    token: str | None = None

    def user(self) -> User:
        """Return who this is, as the store knows them now.

        Raises
        ------
        AuthenticationError
            The session has ended, or the account was closed.
        """
        found = self._found()
        if found is None or found.id != self.user_id or not found.active:
            raise AuthenticationError("account.session_ended")
        return found

    def holds(self) -> bool:
        """Tell whether it still holds; a store that cannot be asked counts as no."""
        try:
            self.user()
        except (AuthenticationError, StoreError):
            return False
        return True

    def _found(self) -> User | None:
        if self.token is not None:
            return self.accounts().session_user(self.token)
        try:
            return self.accounts().get(self.user_id)
        except NotFoundError:
            return None


class Visits:
    """The open pages that are signed in: by Streamlit's session and by the web socket under it.

    The guard asks here before a page is made, an upload taken or a long message read.
    """

    def __init__(self) -> None:
        self._by_session: dict[str, tuple[str, Admission]] = {}
        self._sessions: dict[str, str] = {}  # by socket
        self._lock = threading.Lock()

    def enter(self, session: str, socket: str, admission: Admission) -> None:
        """Note that a session is signed in; called in every run of a page."""
        with self._lock:
            self._by_session[session] = (socket, admission)
            self._sessions[socket] = session

    def leave(self, session: str) -> None:
        """Note that a session is signed in no more."""
        with self._lock:
            socket, _ = self._by_session.pop(session, ("", None))
            self._sessions.pop(socket, None)

    def closed(self, socket: str) -> str | None:
        """Forget a socket; returns the session that is left without one."""
        with self._lock:
            session = self._sessions.pop(socket, None)
            if session is None or self._by_session.get(session, ("", None))[0] != socket:
                return None  # nobody's, or the page has a new socket already
            del self._by_session[session]
            return session

    def of(self, session: str) -> Admission | None:
        """Return the admission of a session of Streamlit; None for a stranger."""
        with self._lock:
            return self._by_session.get(session, ("", None))[1]

    def at(self, socket: str) -> tuple[str, Admission] | None:
        """Return session and admission of a socket; None for a stranger."""
        with self._lock:
            session = self._sessions.get(socket)
            if session is None or session not in self._by_session:
                return None
            return session, self._by_session[session][1]


VISITS = Visits()
