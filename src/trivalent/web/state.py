"""What a page stands on: the settings, the store, the runner, the current user, the loaded models.

Everything long runs as a job in the runner of this process, so a page never waits and never owns
work: reloading it or leaving it loses nothing.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from trivalent.settings import Settings
from trivalent.web.recent import RecentFrames
from trivalent.web.scratch import Scratch

if TYPE_CHECKING:
    from trivalent.analyzer import Analyzer
    from trivalent.bundle import Bundle
    from trivalent.runner import JobRunner
    from trivalent.store import History, Store, User

STOP_GRACE_S = 5.0
MEDIA_S = 12 * 3600.0


@dataclass(frozen=True)
class Services:
    """What all sessions of one process share."""

    settings: Settings
    store: Store
    runner: JobRunner
    scratch: Scratch
    frames: RecentFrames


_running: list[Services] = []


def settings() -> Settings:
    """Return what `trivalent app` was started with."""
    return Settings.from_environment()


def services() -> Services:
    """Store and runner, opened once per process."""
    return _services(settings().to_json())


def store() -> Store:
    """Accounts, jobs and histories."""
    return services().store


def runner() -> JobRunner:
    """Workers of this process; `wake` them after submitting a job."""
    return services().runner


def user() -> User:
    """Whoever uses this page; `login.admit` has let nobody else in."""
    found: User = st.session_state["user"]
    return found


def history() -> History:
    """Analyses of the current user, and of nobody else."""
    return store().history(user())


def chosen_model() -> str:
    """Name of the bundle that new analyses use: the session's choice, else the server's."""
    return str(st.session_state.get("model") or settings().model)


def choose_model(name: str) -> None:
    """Use a bundle for the new analyses of this session."""
    st.session_state["model"] = name


def bundle(name: str) -> Bundle:
    """Load a bundle by name; its graphs are read when they are first needed."""
    chosen = settings()
    return _bundle(name, str(chosen.home), chosen.threads)


def analyzer(name: str) -> Analyzer:
    """Analyzer of a bundle, for texts; recordings go to the runner as jobs."""
    chosen = settings()
    return _analyzer(name, str(chosen.home), chosen.threads)


def forget_models() -> None:
    """Load bundles anew when they are next asked for: one was added, replaced or removed."""
    _bundle.clear()
    _analyzer.clear()


@st.cache_resource(show_spinner=False)
def _services(settings_json: str) -> Services:
    import json

    from trivalent.runner import JobRunner
    from trivalent.store import Actor, Origin, open_store

    chosen = Settings.from_mapping(json.loads(settings_json))
    opened, frames = open_store(chosen, Actor(origin=Origin.APP)), RecentFrames()
    runner = JobRunner(opened, chosen, finished=frames.add)
    started = Services(chosen, opened, runner, Scratch(chosen.home), frames)
    started.runner.start()
    _running.append(started)
    return started


@atexit.register
def close_all() -> None:
    """Stop the workers and close the stores of this process; what runs goes back to the queue."""
    while _running:
        ended = _running.pop()
        ended.runner.stop(STOP_GRACE_S)
        ended.store.close()
        ended.scratch.close()
    _services.clear()


@st.cache_resource(show_spinner=False, max_entries=4)
def _bundle(name: str, home: str, threads: int) -> Bundle:
    from trivalent.bundle import load_bundle
    from trivalent.bundle_store import locate

    return load_bundle(locate(name, settings()), threads=threads)


@st.cache_resource(show_spinner=False, max_entries=2)
def _analyzer(name: str, home: str, threads: int) -> Analyzer:
    from trivalent.analyzer import Analyzer
    from trivalent.bundle_store import locate

    return Analyzer(locate(name, settings()), threads=threads)


def sample() -> Path:
    """Clip inside the package."""
    from trivalent.assets.registry import PACKAGE_ROOT

    return PACKAGE_ROOT / "samples" / "sample.mp4"


def session_folder() -> Path:
    """Folder for files of this session, such as a recording that is not to be kept; it goes with it."""
    held = st.session_state.get("folder")
    if held is None or not Path(held.name).is_dir():
        held = st.session_state["folder"] = services().scratch.folder()
    return Path(held.name)


def media_url(path: Path) -> str:
    """Address at which this session's browser may play a recording."""
    from trivalent.web.routes import PREFIX
    from trivalent.web.tickets import TICKETS, Play

    known: dict[str, str] = st.session_state.setdefault("media_tickets", {})
    if TICKETS.look(known.get(str(path), "")) is None:
        right = Play(path, passing=path.is_relative_to(settings().home / "sessions"))
        known[str(path)] = TICKETS.issue(right, owner=user().id, seconds=MEDIA_S)
    return f"{PREFIX}/media/{known[str(path)]}"
