"""What a page stands on: the settings, the store, the runner, the current user, the loaded models.

Everything long runs as a job in the runner of this process, so a page never waits and never owns
work: reloading it or leaving it loses nothing. None of it lies in Streamlit's caches, which a message
of any browser can empty.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from trivalent.core.errors import AuthenticationError
from trivalent.core.private_folders import TEMPORARY
from trivalent.core.settings import Auth, Settings
from trivalent.web.admission import Admission
from trivalent.web.page_recordings import Scratch
from trivalent.web.session_keyframes import RecentFrames

if TYPE_CHECKING:
    from trivalent.bundle.loading import Bundle
    from trivalent.store import History, Store, User
    from trivalent.work.pool import Pool
    from trivalent.work.runner import JobRunner

STOP_GRACE_S = 5.0
MEDIA_S = 12 * 3600.0
CHILDREN = 2  # for small texts, transcripts and archives
WAITING = 64  # tasks before them; with accounts, one may have a quarter
Made = TypeVar("Made")


@dataclass(frozen=True)
class Services:
    """What all sessions of one process share."""

    settings: Settings
    store: Store
    runner: JobRunner
    scratch: Scratch
    frames: RecentFrames
    pool: Pool


_running: dict[str, Services] = {}  # by settings
_starting = threading.Lock()


def settings() -> Settings:
    """Return what `trivalent app` was started with."""
    return Settings.from_environment()


def services() -> Services:
    """Store and runner, opened once per process."""
    configured = settings()
    key = configured.to_json()
    with _starting:
        if key not in _running:
            _running[key] = _start(configured)
        return _running[key]


def _start(configured: Settings) -> Services:
    from trivalent.store import Actor, Origin, open_store
    from trivalent.work.pool import Pool
    from trivalent.work.runner import JobRunner

    opened, frames = open_store(configured, Actor(origin=Origin.APP)), RecentFrames()
    runner = JobRunner(opened, configured, finished=frames.add)
    runner.start()
    pool = Pool(
        CHILDREN,
        waiting=WAITING,
        waiting_each=WAITING if configured.auth is Auth.NONE else WAITING // 4,
        temporary=configured.home / TEMPORARY,
    )
    return Services(configured, opened, runner, Scratch(configured.home), frames, pool)


@atexit.register
def close_all() -> None:
    """Stop the workers and close the stores of this process; what runs goes back to the queue."""
    with _starting:
        ended = list(_running.values())
        _running.clear()
    for each in ended:
        each.pool.close()
        each.runner.stop(STOP_GRACE_S)
        each.store.close()
        each.scratch.close()


def store() -> Store:
    """Accounts, jobs and histories."""
    return services().store


def runner() -> JobRunner:
    """Workers of this process; `wake` them after submitting a job."""
    return services().runner


def session_id() -> str:
    """Streamlit's name of this session."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def admission() -> Admission:
    """How this session was let in by `login.admit`.

    Raises
    ------
    AuthenticationError
        Nobody is signed in.
    """
    found: Admission | None = st.session_state.get("admission")
    if found is None:
        raise AuthenticationError("account.session_none")
    return found


def user() -> User:
    """Whoever uses this page, asked of the store at each call: they may have been shut out meanwhile.

    Raises
    ------
    AuthenticationError
        They have been.
    """
    return admission().user()


def history() -> History:
    """Analyses of the current user, and of nobody else."""
    return store().history(user())


def still(make: Callable[[], Made]) -> Callable[[], Made]:
    """Wrap what is made later, in a thread without a session, so that it asks again who wants it."""
    who = admission()

    def made() -> Made:
        who.user()
        return make()

    return made


def chosen_model() -> str:
    """Name of the bundle that new analyses use: the session's choice, else the server's."""
    return str(st.session_state.get("model") or settings().model)


def choose_model(name: str) -> None:
    """Use a bundle for the new analyses of this session."""
    st.session_state["model"] = name


def bundle(name: str) -> Bundle:
    """Load a bundle by name, anew if another one lies there now; its graphs are read when needed."""
    from trivalent.bundle.loading import fingerprint

    where = bundle_place(name)
    return _bundle(where, fingerprint(where))


def ask_child(task: str, time_s: float, **arguments: Any) -> dict[str, Any]:
    """Have strangers' bytes read in a child process, in this user's turn; see `work.tasks`.

    Raises
    ------
    TrivalentError
        What the task raised.
    QueueFullError
        Too many wait.
    """
    return services().pool.call(task, arguments, owner=user().id, time_s=time_s)


def bundle_place(name: str) -> str:
    """Where a bundle lies, or its name if the package has it."""
    from trivalent.bundle.shelf import resolve_choice

    return str(resolve_choice(name, settings()))


@lru_cache(maxsize=4)
def _bundle(where: str, _: str) -> Bundle:
    from trivalent.bundle.loading import load_bundle

    return load_bundle(where)


def sample() -> Path:
    """Clip inside the package."""
    from trivalent.core.assets import DATA

    return DATA / "samples" / "sample.mp4"


def session_folder() -> Path:
    """Folder for files of this session, such as a recording that is not to be kept; it goes with it."""
    held = st.session_state.get("folder")
    if held is None or not Path(held.name).is_dir():
        held = st.session_state["folder"] = services().scratch.folder()
    return Path(held.name)


def media_url(path: Path) -> str:
    """Address at which this session's browser may play a recording."""
    from trivalent.web.access_tickets import TICKETS, Play
    from trivalent.web.routes import PREFIX

    tickets: dict[str, str] = st.session_state.setdefault("media_tickets", {})
    if TICKETS.look(tickets.get(str(path), "")) is None:
        right, who = Play(path, passing=path.is_relative_to(settings().home / "sessions")), admission()
        tickets[str(path)] = TICKETS.issue(right, owner=who.user_id, seconds=MEDIA_S, holds=who.holds)
    return f"{PREFIX}/media/{tickets[str(path)]}"
