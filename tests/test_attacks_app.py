"""What visitors, and users who may no longer, do to the app: uploads, open pages, transcripts.

Every attack but the last few is against a real app on loopback, by the wire.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import analyses
from app_page import Page, press
from attack_log import Attack, resident_mb
from slow_wire import place, together, trickle
from store_samples import a_home
from trivalent.core.assets import DATA
from trivalent.core.settings import Settings
from trivalent.store import JobState, Store, User, open_store
from trivalent.web.access_tickets import TICKETS, Send
from trivalent.web.routes import ROUTES
from web_server import App, started

PASSWORD = "correct horse battery"
SAMPLE = DATA / "samples" / "sample.mp4"
MB = 1_000_000
LONG_S = 60.0
pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("visitors") / "home", "ada", password=PASSWORD)


@pytest.fixture(scope="module")
def app(home: Path) -> Iterator[App]:
    # as --upload-memory 200, which an app from before the attack does not know
    small = (
        "import contextlib\nwith contextlib.suppress(ImportError):\n"
        "    from trivalent.web import uploads; uploads.memory_mb = lambda settings: 200.0"
    )
    with started(home, "--auth", "local", "--max-upload-mb", "40", before=small) as found:
        yield found


@pytest.fixture(scope="module")
def store(home: Path) -> Iterator[Store]:
    opened = open_store(Settings(home=home))
    yield opened
    opened.close()


@pytest.fixture
def visitor(store: Store) -> User:
    """Make an account that is only of this test."""
    number = len(store.accounts.users())
    return store.accounts.create(f"visitor {number}", PASSWORD)


def wait_for(condition: Callable[[], Any], seconds: float = LONG_S) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.2)
    return False


# --- uploads


@pytest.mark.finding(3)
def test_uploads_before_a_login_are_refused(app: App, attack: Attack) -> None:
    content, before = b"\x00" * (20 * MB), resident_mb(app.pid)
    with Page(app.address) as page, attack.watch(app.pid):
        page.run()
        assert page.session
        for i in range(16):
            attack.attempt(f"upload {i}", withstood=page.upload(content).status_code == 403)
    more = resident_mb(app.pid) - before
    attack.attempt(f"{more:.0f} MB more after 16 of 20 MB", withstood=more < 100)


@pytest.mark.finding(3)
def test_uploads_into_the_session_of_somebody_else_need_that_session(
    app: App, attack: Attack, visitor: User
) -> None:
    with Page(app.address) as page, Page(app.address) as stranger:
        stranger.run()
        page.log_in(visitor.name, PASSWORD)
        assert page.upload(b"mine").status_code == 204
        attack.attempt("an own session, not signed in", withstood=stranger.upload(b"x").status_code == 403)
        for session in ("", "x" * 36, "../" + page.session, page.session.upper()):
            stranger.session = session
            status = stranger.upload(b"x").status_code
            attack.attempt(f"session {session!r}", withstood=status in (403, 404, 405))


@pytest.mark.finding(3)
def test_uploads_of_one_user_and_of_all_are_bounded(app: App, attack: Attack, visitor: User) -> None:
    """One page may hold half of the 200 MB that all may."""
    with Page(app.address) as first, Page(app.address) as second, attack.watch(app.pid):
        first.log_in(visitor.name, PASSWORD)
        second.log_in(visitor.name, PASSWORD)
        taken = [first.upload(b"\x00" * (30 * MB)).status_code for _ in range(6)]
        attack.attempt(f"one page: {taken}", withstood=taken.count(204) == 3)
        again = [first.upload(b"\x01" * (30 * MB), file="same").status_code for _ in range(3)]
        attack.attempt(f"one page, under one name: {again}", withstood=204 not in again)
        more = [second.upload(b"\x00" * (30 * MB)).status_code for _ in range(6)]
        attack.attempt(f"another page: {more}", withstood=more.count(204) == 3)
        attack.attempt("in parts, without a length", withstood=_in_parts(second) in (413, 503))
        for page in (first, second):  # a file that is removed makes room
            page.run(press(page.keyed("button", "log-out")))
        first.log_in(visitor.name, PASSWORD)
        kept = first.upload(b"\x00" * (30 * MB)).status_code
        attack.attempt("freed by a logout", withstood=kept == 204)


def _in_parts(page: Page) -> int:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def parts() -> Iterator[bytes]:
        yield head
        for _ in range(30):
            yield b"\x00" * MB
        yield b"\r\n--x--\r\n"

    headers = {"X-Xsrftoken": page.xsrf, "content-type": "multipart/form-data; boundary=x"}
    url = f"/_stcore/upload_file/{page.session}/parts"
    return page.http.put(url, content=parts(), headers=headers).status_code


@pytest.mark.finding(3)
def test_only_a_few_uploads_run_at_a_time(app: App, attack: Attack, visitor: User) -> None:
    with Page(app.address) as page:
        page.log_in(visitor.name, PASSWORD)
        wires = [_begin_upload(page, i) for i in range(20)]
        with ThreadPoolExecutor(len(wires)) as pool:
            refused = list(pool.map(_status, wires)).count(429)
        for wire in wires:
            wire.close()
        attack.attempt(f"{20 - refused} of 20 began", withstood=refused >= 12)
        there = wait_for(lambda: page.upload(b"x").status_code == 204)
        attack.attempt("an upload after they broke off", withstood=there)


def _begin_upload(page: Page, number: int) -> socket.socket:
    name, port = page.address.removeprefix("http://").split(":")
    cookies = "; ".join(f"{k}={v}" for k, v in page.http.cookies.items())
    wire = socket.create_connection((name, int(port)), timeout=LONG_S)
    head = (
        f"PUT /_stcore/upload_file/{page.session}/{number} HTTP/1.1\r\nHost: {name}:{port}\r\n"
        f"Cookie: {cookies}\r\nX-Xsrftoken: {page.xsrf}\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    )
    wire.sendall(head.encode())
    return wire


def _status(wire: socket.socket) -> int:
    """Status of an answer within two seconds, 0 for none."""
    wire.settimeout(2)
    try:
        return int(wire.recv(100).split()[1])
    except (OSError, IndexError):
        return 0


@pytest.mark.finding(3)
def test_uploads_are_freed_when_the_page_is_left(tmp_path: Path, attack: Attack) -> None:
    # a page that broke off may come back for two minutes: here for two seconds
    sooner = (
        "import contextlib\nwith contextlib.suppress(ImportError):\n"
        "    from trivalent.web import sockets; sockets.RECONNECT_S = 2.0"
    )
    with started(tmp_path / "home", before=sooner) as app:
        with Page(app.address) as page:
            page.run()
            before = resident_mb(app.pid)
            with attack.watch(app.pid):
                for _ in range(4):
                    assert page.upload(b"\x00" * (90 * MB)).status_code == 204
        freed = wait_for(lambda: resident_mb(app.pid) - before < 120, 20)
        more = resident_mb(app.pid) - before
        attack.attempt(f"{more:.0f} MB kept of 360 MB after leaving", withstood=freed)


# --- open pages of somebody who was shut out


def show_result(page: Page, store: Store, user: User) -> None:
    """Show an analysis that was kept with its recording."""
    kept = store.history(user).add(analyses.video(), media=SAMPLE)
    page.query = f"record={kept.id}"
    page.run()


@pytest.mark.finding(6)
def test_a_closed_account_does_nothing_in_an_open_page(
    app: App, attack: Attack, store: Store, visitor: User
) -> None:
    with Page(app.address) as page:
        page.log_in(visitor.name, PASSWORD)
        page.run(press(page.keyed("button", "analyze-sample")))
        job = store.jobs.list(visitor, limit=1).jobs[0]
        cancel = page.keyed("button", f"cancel-{job.id}")
        fragment = page.fragment_of(cancel.id)
        assert fragment
        store.accounts.set_active(visitor.id, False)
        page.run(press(cancel), fragment=fragment)
        stopped = store.jobs.get(visitor, job.id).state is JobState.CANCELLED
        attack.attempt("cancel a job in a fragment", withstood=not stopped)
        attack.attempt("see the fragment", withstood=not page.signed_in)
        attack.attempt("upload", withstood=page.upload(b"x").status_code == 403)
        page.run(press(cancel))
        stopped = store.jobs.get(visitor, job.id).state is JobState.CANCELLED
        attack.attempt("cancel a job from the page", withstood=not stopped)
        page.reconnect()
        with suppress(TimeoutError):  # no answer is as good as a login
            page.run(press(cancel), fragment=fragment, timeout=20)
        attack.attempt("come back with a new socket", withstood=not page.signed_in)
        stopped = store.jobs.get(visitor, job.id).state is JobState.CANCELLED
        attack.attempt("cancel it then", withstood=not stopped)


@pytest.mark.finding(6)
def test_a_closed_account_takes_nothing_away(app: App, attack: Attack, store: Store, visitor: User) -> None:
    with Page(app.address) as page:
        page.log_in(visitor.name, PASSWORD)
        show_result(page, store, visitor)
        assert page.signed_in
        media = page.component("player")["media"]["url"]
        assert page.http.get(media).status_code == 200
        files = page.of("download_button")
        assert len(page.download(*files)) == len(files)
        page.path = "history"
        page.run()
        export = page.first("download_button")
        assert page.download(export)
        store.accounts.set_active(visitor.id, False)
        attack.attempt("play the recording", withstood=page.http.get(media).status_code == 404)
        for url in page.download(export, *files, timeout=3) or [""]:
            attack.attempt(f"download {url}", withstood=not url)


@pytest.mark.finding(6)
@pytest.mark.parametrize("how", ["password", "session", "deleted"])
def test_a_session_that_ended_elsewhere_ends_here(
    app: App, attack: Attack, store: Store, visitor: User, how: str
) -> None:
    with Page(app.address) as page:
        page.log_in(visitor.name, PASSWORD)
        show_result(page, store, visitor)
        media = page.component("player")["media"]["url"]
        assert page.http.get(media).status_code == 200
        button = page.first("download_button")
        if how == "password":
            store.accounts.set_password(visitor.id, "another horse battery")
        elif how == "deleted":
            store.accounts.delete(visitor.id)
        else:
            _end_sessions(store, visitor)
        attack.attempt("play", withstood=page.http.get(media).status_code == 404)
        attack.attempt("download", withstood=not page.download(button, timeout=3))
        attack.attempt("upload", withstood=page.upload(b"x").status_code == 403)
        page.run()
        attack.attempt("go on", withstood=not page.signed_in)


def _end_sessions(store: Store, user: User) -> None:
    """Do as if the sessions of an account had come to their end."""
    from sqlalchemy import delete

    from trivalent.store.schema import SessionRow

    with store._database.write() as session:
        session.execute(delete(SessionRow).where(SessionRow.owner_id == user.id))


@pytest.mark.finding("low")
def test_a_recording_that_was_begun_in_time_is_not_taken_after_the_end(
    tmp_path: Path, attack: Attack
) -> None:
    path = tmp_path / "a.recorded"
    name = TICKETS.issue(Send(path, limit=1000), owner="bob", seconds=60)

    def sent() -> Iterator[bytes]:
        yield b"1" * 100
        TICKETS.revoke("bob")
        yield b"2" * 100

    with TestClient(Starlette(routes=list(ROUTES))) as client:
        answer = client.post(f"/app/recordings/{name}", content=sent(), headers={"x-trivalent": "1"})
    attack.attempt("the answer", withstood=answer.status_code == 404)
    attack.attempt("the file", withstood=not list(tmp_path.iterdir()))


# --- transcripts


@pytest.mark.finding(15)
def test_a_transcript_of_carriage_returns_costs_nothing_in_each_run(tmp_path: Path, attack: Attack) -> None:
    with started(tmp_path / "home") as app, Page(app.address) as page:
        page.run()
        before = resident_mb(app.pid)
        video = page.keyed("file_uploader", "file").id
        field = page.keyed("file_uploader", "file-transcript").id
        states = [
            page.attach(video, b"no video", name="a.mp4"),
            page.attach(field, b"\r" * (8 * MB), name="a.txt"),
        ]
        with attack.watch(app.pid):
            began = time.monotonic()
            for _ in range(2):
                page.run(*states, timeout=300)
            spent = time.monotonic() - began
            attack.attempt(f"two runs with it took {spent:.1f} s", withstood=spent < 20)
            page.run(*states, press(page.keyed("button", "analyze-file")), timeout=300)
        more = (attack.peak_mb or 0) - before
        attack.attempt(f"{more:.0f} MB more", withstood=more < 150)
        attack.attempt("handed in", withstood=bool(page.of("alert")))


# --- starting again


@pytest.mark.finding("low")
def test_waiting_jobs_are_taken_up_without_a_visitor(tmp_path: Path, attack: Attack) -> None:
    settings = Settings(home=tmp_path / "home")
    waiting = tmp_path / "a.txt"
    waiting.write_text("A fine day, and a good one.", encoding="utf-8")
    store = open_store(settings)
    try:
        user = store.accounts.local_user()
        job = store.jobs.submit(user, "a.txt", waiting, options={})
        with started(settings.home):
            done = wait_for(lambda: store.jobs.get(user, job.id).state is JobState.DONE)
            attack.attempt("a job from before the start", withstood=done)
    finally:
        store.close()


@pytest.mark.finding(19)
def test_half_sent_requests_are_ended(app: App, attack: Attack) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    tries = {
        "no byte at all": (b"", b""),
        "header without end": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"),
        "handshake without end": (b"GET /_stcore/stream HTTP/1.1\r\nHost: localhost\r\n" + upgrade, b""),
    }
    server = place(app.address)
    ended = together(*(lambda f=first, d=drop: trickle(server, f, d) for first, drop in tries.values()))
    for what, withstood in zip(tries, ended, strict=True):
        attack.attempt(what, withstood=withstood)
