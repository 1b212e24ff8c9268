"""The tab for recordings made in the browser: microphone, or camera with sound."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

from trivalent.core.errors import TrivalentError
from trivalent.media.kinds import Kind
from trivalent.web import state, submission
from trivalent.web.access_tickets import TICKETS, Send
from trivalent.web.components import component
from trivalent.web.i18n import t
from trivalent.web.routes import PREFIX
from trivalent.web.views.ask_file import ask_wishes
from trivalent.web.views.ask_text import Target
from trivalent.web.views.notices import show_error

TICKET_S = 6 * 3600.0
LONGEST_S = 600  # the recorder stops by itself
_WORDS = (
    "start", "stop", "discard", "send", "sending", "again", "ready", "longest",
    "denied", "absent", "busy", "insecure", "unsupported", "large", "lost",
)  # fmt: skip


def ask_recording() -> Target | None:
    """Take a recording; returns the state to which the page should turn."""
    with_camera = (
        st.segmented_control(
            t("analyze.device"),
            ["microphone", "camera"],
            default="microphone",
            format_func=lambda name: f":material/{_ICONS[name]}: {t(f'analyze.device_{name}')}",
            key="device",
            required=True,
            label_visibility="collapsed",
        )
        == "camera"
    )
    device = st.container()
    wishes = ask_wishes("recording")
    with device:
        try:
            return _camera(wishes) if with_camera else _microphone(wishes)
        except TrivalentError as error:
            show_error(error)
            return None


_ICONS = {"microphone": "mic", "camera": "videocam"}


def _microphone(wishes: submission.Wishes | None) -> Target | None:
    sound = st.audio_input(t("analyze.speak"), key="sound")
    pressed = st.button(
        t("analyze.start"),
        type="primary",
        icon=":material/play_arrow:",
        key="analyze-sound",
        disabled=sound is None or wishes is None,
    )
    if not pressed or sound is None or wishes is None:
        return None
    name = f"{t('analyze.recorded')}.wav"
    return "job", submission.submit(name, sound.getvalue(), wishes, kind=Kind.RECORDING).id


def _camera(wishes: submission.Wishes | None) -> Target | None:
    result = component("recorder")(
        key="recorder",
        data={
            "url": f"{PREFIX}/recordings/{_ticket()}",
            "most": state.settings().max_upload_bytes,
            "seconds": LONGEST_S,
            "words": {word: t(f"analyze.recorder_{word}") for word in _WORDS},
        },
        on_sent_change=lambda: None,
    )
    path: Path = st.session_state["recorder_path"]
    if not result.sent or wishes is None or not path.is_file():
        return None
    suffix = ".mp4" if result.sent == "mp4" else ".webm"
    name = f"{t('analyze.recorded')}{suffix}"
    job = submission.submit(name, path, wishes, kind=Kind.RECORDING)
    path.unlink()
    return "job", job.id


def _ticket() -> str:
    """Right to send one recording, to a file of this session."""
    name: str = st.session_state.get("recorder_ticket", "")
    if TICKETS.look(name) is None:
        path = state.session_folder() / f"{secrets.token_hex(8)}.recorded"
        right = Send(path, state.settings().max_upload_bytes)
        who = state.admission()
        name = TICKETS.issue(right, owner=who.user_id, seconds=TICKET_S, holds=who.holds)
        st.session_state["recorder_ticket"] = name
        st.session_state["recorder_path"] = path
    return name
