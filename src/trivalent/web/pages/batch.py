"""Many files at once: a form, the batches of the user, and one batch in full."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from trivalent.core.errors import LimitError, QueueFullError, TrivalentError
from trivalent.core.outside import clean_file_name
from trivalent.core.private_folders import TEMPORARY, PrivateFolder
from trivalent.media.kinds import kind_of
from trivalent.store import BatchSummary
from trivalent.web import state
from trivalent.web.i18n import t
from trivalent.web.submission import Wishes
from trivalent.web.uploads import SHARE, forget_uploads, memory_mb
from trivalent.web.views.ask_file import usually_kept
from trivalent.web.views.batch_progress import progress
from trivalent.web.views.batch_results import failures, results
from trivalent.web.views.flash import flash, show_flash
from trivalent.web.views.mix import ask_mix
from trivalent.web.views.notices import empty, plain, show_error
from trivalent.web.views.when import when
from trivalent.work import batch_files as intake
from trivalent.work.batch_files import Examined, Reason, Refused, Taken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamlit.runtime.uploaded_file_manager import UploadedFile


UNPACK_S = 60.0


def show() -> None:
    """Make the page."""
    st.title(t("common.page_batch"))
    show_flash()
    st.markdown(t("batch.intro"))
    batches = {b.id: b for b in state.store().jobs.batches(state.user()) if b.counts}
    # a new key closes it, and empties its fields, once a batch has begun
    round_ = st.session_state.setdefault("batch-round", 0)
    with st.expander(
        t("batch.new"), expanded=not batches, icon=":material/add:", key=f"batch-new-{round_}"
    ):
        _ask(round_)
    if not batches:
        _refusals(None)
        empty("folder_copy", t("batch.empty_title"), t("batch.empty"))
        return
    batch = batches[_choose(batches)]
    _refusals(batch.id)
    progress(batch)
    results(batch)
    failures(batch)


def _choose(batches: dict[str, BatchSummary]) -> str:
    """Ask which batch; the one in the address after a reload, else the newest."""
    wanted = st.session_state.get("batch") or st.query_params.get("batch")
    st.session_state["batch"] = wanted if wanted in batches else next(iter(batches))
    chosen: str = st.selectbox(
        t("batch.choose"), list(batches), format_func=lambda i: _title(batches[i]), key="batch"
    )
    st.query_params["batch"] = chosen
    return chosen


def _title(batch: BatchSummary) -> str:
    return t("batch.choice", name=batch.name, count=sum(batch.counts.values()))


def _ask(round_: int) -> None:
    largest = state.settings().max_upload_mb
    with st.form(f"new-batch-{round_}", border=False):
        help_ = t(
            "batch.files_help",
            largest=f"{largest:g}",
            count=intake.MAX_FILES,
            total=f"{intake.MAX_TOTAL_FACTOR * largest:g}",
            together=f"{memory_mb(state.settings()) / SHARE:g}",
        )
        files = st.file_uploader(
            t("batch.files"), accept_multiple_files=True, key=f"batch-files-{round_}", help=help_
        )
        usual = t("batch.name_usual", when=when(datetime.now(UTC)))
        name = st.text_input(t("batch.name"), placeholder=usual, max_chars=255, key=f"batch-name-{round_}")
        keep = st.checkbox(
            t("batch.keep"), value=usually_kept(), help=t("batch.keep_help"), key=f"batch-keep-{round_}"
        )
        wishes = Wishes(keep_media=keep, prior=ask_mix(f"batch-{round_}"))
        sent = st.form_submit_button(t("batch.start"), type="primary", icon=":material/play_arrow:")
    if sent and files:
        with st.spinner(t("batch.taking")):
            _start(files, name.strip() or usual, wishes)


def _start(files: Sequence[UploadedFile], name: str, wishes: Wishes) -> None:
    """Queue what can be analysed, and remember what cannot."""
    with PrivateFolder(state.settings().home / TEMPORARY) as scratch:
        examined = list(_outcomes(files, scratch))
        try:
            batch, refused = _queue([f for f in examined if isinstance(f, Taken)], name, wishes)
        except TrivalentError as error:
            show_error(error)
            return
    refused = [*(f for f in examined if isinstance(f, Refused)), *refused]
    st.session_state["batch-refused"] = (batch, refused)
    st.session_state["batch-round"] += 1
    forget_uploads(state.session_id())
    if batch is not None:
        st.session_state["batch"] = batch
        state.runner().wake()
        flash(t("batch.started", count=len(examined) - len(refused)))
    st.rerun()


def _outcomes(files: Sequence[UploadedFile], folder: Path) -> Iterator[Examined]:
    for number, file in enumerate(files):
        path = folder / f"upload-{number}"
        path.write_bytes(file.getbuffer())
        if file.name.lower().endswith(".zip"):
            own = folder / f"archive-{number}"
            own.mkdir()
            yield from _members(file.name, path, own)
            path.unlink()
        else:
            yield intake.examine(file.name, path)


def _members(name: str, archive: Path, folder: Path) -> Iterator[Examined]:
    """Unpack an archive in a child process, in which its table may be as long as it likes."""
    wanted = {"archive": str(archive), "folder": str(folder), "largest": state.settings().max_upload_bytes}
    try:
        found = state.ask_child("unpack", UNPACK_S, name=name, **wanted)["outcomes"]
    except LimitError:
        found = [{"name": clean_file_name(name, default="?"), "reason": str(Reason.BOMB)}]
    for member in found:
        if "path" in member:
            yield Taken(member["name"], Path(member["path"]))
        else:
            yield Refused(member["name"], Reason(member["reason"]))


def _queue(taken: Sequence[Taken], name: str, wishes: Wishes) -> tuple[str | None, list[Refused]]:
    """Submit files as one batch until the queue is full; no batch is made for nothing."""
    if not taken:
        return None, []
    jobs, user = state.store().jobs, state.user()
    batch = jobs.create_batch(user, name)
    for number, file in enumerate(taken):
        try:
            jobs.submit(
                user,
                file.name,
                file.path,
                options=wishes.options(kind_of(file.name)),
                batch=batch,
                origin="batch",
                keep_media=wishes.keep_media,
            )
        except QueueFullError:
            late = [Refused(f.name, Reason.QUEUE) for f in taken[number:]]
            return (batch if number else None), late
    return batch, []


def _refusals(batch: str | None) -> None:
    """List what was not taken when the batch was started in this session."""
    of, refused = st.session_state.get("batch-refused", (None, []))
    if not refused or (of is not None and of != batch):
        return
    if of is None:
        st.warning(t("batch.none_taken"), icon=":material/warning:")
    with st.expander(t("batch.refused", count=len(refused)), expanded=True, icon=":material/warning:"):
        st.markdown("\n".join(f"- **{plain(r.name)}**: {t(f'batch.reason_{r.reason}')}" for r in refused))
