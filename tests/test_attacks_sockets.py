"""What a stranger may do to the app over web sockets and plain HTTP: hosts, origins, messages, numbers.

Every attack is against a real app on loopback, by the wire, with nothing of the app imported.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.sync.client import connect

from app_page import Page
from attack_log import Attack
from store_samples import a_home
from web_server import App, started

PASSWORD = "correct horse battery"
LONG_S = 30.0  # tells "hangs" from "answers"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Run an app with accounts, in a folder of its own that looks like one where agents work."""
    folder = tmp_path_factory.mktemp("stranger")
    a_home(folder / "home", "ada", password=PASSWORD)
    work = folder / "work"
    (work / ".claude").mkdir(parents=True)
    with started(folder / "home", "--auth", "local", cwd=work) as found:
        yield found


def shake(
    app: App, *, origin: str | None = None, host: str | None = None, path: str = "/_stcore/stream"
) -> int:
    """Ask for a web socket as a browser would; returns the status of the answer, 0 for none."""
    name, port = app.address.removeprefix("http://").split(":")
    head = [
        f"GET {path} HTTP/1.1", f"Host: {host or f'{name}:{port}'}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: streamlit", *([] if origin is None else [f"Origin: {origin}"]), "", "",
    ]  # fmt: skip
    with suppress(OSError), socket.create_connection((name, int(port)), timeout=LONG_S) as wire:
        wire.sendall("\r\n".join(head).encode())
        answer = wire.recv(200)
        return int(answer.split()[1]) if answer else 0
    return 0


def get(app: App, path: str, **headers: str) -> int:
    """Status of a plain request."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with suppress(httpx.HTTPError):
        return httpx.get(app.address + path, headers=given, timeout=LONG_S).status_code
    return 0


def threads(app: App) -> int:
    status = Path(f"/proc/{app.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1])


def handles(app: App) -> int:
    return len(list(Path(f"/proc/{app.pid}/fd").iterdir()))


def answers(app: App) -> bool:
    """Whether somebody who comes now is served."""
    return get(app, "/_stcore/health") == 200


# --- origins and hosts


@pytest.mark.finding(5)
def test_a_socket_of_another_origin_is_refused(app: App, attack: Attack) -> None:
    port = int(app.address.rsplit(":", 1)[1])
    foreign = [
        "http://localhost:1", "http://localhost:3000", "http://127.0.0.1:3000", "http://0.0.0.0:3000",
        f"http://localhost:{port}", f"http://0.0.0.0:{port}", f"https://127.0.0.1:{port}", "http://127.0.0.1",
        f"http://127.0.0.1:{port}.evil.example", f"http://127.0.0.1:{port}@evil.example", "null", "file://",
        "http://evil.example", f"http://evil.example:{port}", "chrome-extension://abc", "", "http://[::1",
        f"http://127.0.0.1:{port}/path", "http://[::1]:3000", f"http://127.0.0.1:{port + 1}",
    ]  # fmt: skip
    for origin in foreign:
        attack.attempt(f"origin {origin!r}", withstood=shake(app, origin=origin) in (400, 403))
    assert shake(app, origin=app.address) == 101
    assert shake(app) == 101  # a program, which no page can make send this


@pytest.mark.finding(5)
def test_foreign_handshakes_do_not_stop_the_others(app: App, attack: Attack) -> None:
    with ThreadPoolExecutor(33) as pool:
        waiting = [pool.submit(shake, app, origin=f"http://far.example:{i}") for i in range(32)]
        time.sleep(0.3)
        attack.attempt("a visitor meanwhile", withstood=answers(app))
        for answer in waiting:
            attack.attempt("foreign handshake", withstood=answer.result() == 403)


@pytest.mark.finding(5)
def test_an_unknown_host_is_refused_everywhere(app: App, attack: Attack) -> None:
    port = app.address.rsplit(":", 1)[1]
    paths = (
        "/",
        "/history",
        "/_stcore/health",
        "/_stcore/host-config",
        "/app/media/x",
        "/static/x",
        "/media/x",
    )
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "169.254.169.254",
        "localhost.evil.example",
        "a b",
    ):
        for path in paths:
            refused = get(app, path, host=host) in (400, 421)
            attack.attempt(f"{path} of host {host}", withstood=refused)
        attack.attempt(f"socket of host {host}", withstood=shake(app, host=host) in (400, 403))
        attack.attempt(
            f"socket of host and origin {host}",
            withstood=shake(app, host=host, origin=f"http://{host}") in (400, 403),
        )
    for host in (
        f"localhost:{port}",
        f"[::1]:{port}",
        f"127.0.0.1:{port}",
        "localhost",
        f"LOCALHOST:{port}",
    ):
        assert get(app, "/_stcore/health", host=host) == 200


@pytest.mark.finding(5)
def test_what_a_page_of_another_site_has_the_browser_ask_is_refused(app: App, attack: Attack) -> None:
    for path in ("/", "/_stcore/health", "/app/media/x", "/media/x"):
        status = get(app, path, origin="http://localhost:3000")
        attack.attempt(f"{path} with a foreign origin", withstood=status == 403)
        for mode, kind in (("no-cors", "script"), ("navigate", "iframe"), ("cors", "empty")):
            for site in ("cross-site", "same-site"):
                status = get(app, path, sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=kind)
                attack.attempt(f"{path} {site} {mode} {kind}", withstood=status == 403)
    followed = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert get(app, "/history", **followed) == 200  # a link that somebody follows
    posted = httpx.post(f"{app.address}/app/session", headers={"origin": "http://localhost:3000"})
    attack.attempt("POST of another origin", withstood=posted.status_code == 403)


@pytest.mark.finding("low")
def test_routes_that_no_page_needs_are_closed(app: App, attack: Attack) -> None:
    for path in (
        "/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent/interact", "/_stcore/agent/mcp",
        "/_stcore/agent/openapi.json", "/_stcore/anything", "/_stcore/component/x/y", "/_stcore/stream",
    ):  # fmt: skip
        for method in ("GET", "POST", "OPTIONS"):
            status = httpx.request(method, app.address + path, timeout=LONG_S).status_code
            attack.attempt(f"{method} {path}", withstood=status in (404, 405))
    attack.attempt("another socket", withstood=shake(app, path="/_stcore/other") == 403)


# --- messages


@pytest.mark.finding(2)
def test_emptied_caches_make_no_second_store(app: App, attack: Attack) -> None:
    folders = app.log.with_suffix("") / "sessions"
    with Page(app.address) as page:
        page.run()
        before, there = threads(app), len(list(folders.iterdir()))
        for _ in range(20):
            page.say(clear_cache=True)
            page.run()
        more = threads(app) - before
        attack.attempt(f"20 times clear_cache: {more} more threads", withstood=more < 20)
        made = len(list(folders.iterdir())) - there
        attack.attempt(f"20 times clear_cache: {made} more scratch folders", withstood=made == 0)


@pytest.mark.finding(17)
def test_no_message_writes_into_the_working_directory(app: App, attack: Attack) -> None:
    work = app.log.parent / "work"
    before = sorted(work.rglob("*"))
    with Page(app.address) as page:
        page.run()
        for payload in ("install_skills", "dismiss_skills_nudge"):
            said = BackMsg()
            request = said.backend_operation_request
            request.request_id, request.session_id = "1", page.session
            getattr(request, payload).SetInParent()
            page.socket.send(said.SerializeToString())
            answered = _answered(page)
            attack.attempt(f"{payload} is answered", withstood=not answered)
        page.say(load_git_info=True)
        page.say(set_run_on_save=True)
        page.say(debug_shutdown_runtime=True)
        page.say(debug_disconnect_websocket=True)
        page.run()
    attack.attempt("files in the working directory", withstood=sorted(work.rglob("*")) == before)


def _answered(page: Page) -> bool:
    try:
        page.wait("backend_operation_response", timeout=2)
    except TimeoutError:
        return False
    return True


@pytest.mark.finding(18)
def test_what_is_no_message_closes_the_socket(app: App, attack: Attack) -> None:
    large = BackMsg()
    large.rerun_script.query_string = "a" * (2 << 20)
    for name, data in (
        ("text", "hello"), ("garbage", b"\xff" * 100), ("2 MB before a login", large.SerializeToString()),
        ("8 MB of nothing", b"\x00" * (8 << 20)),
    ):  # fmt: skip
        with Page(app.address) as page:
            page.run()
            with suppress(ConnectionClosed):
                page.socket.send(data)
                while True:
                    page.socket.recv(timeout=LONG_S)
            attack.attempt(name, withstood=page.socket.close_code is not None)
    attack.attempt("a visitor after it", withstood=answers(app))


@pytest.mark.finding(18)
def test_sockets_without_a_login_are_bounded(app: App, attack: Attack) -> None:
    before = handles(app)
    with ExitStack() as held:
        opened: list[object] = []
        for _ in range(200):
            with suppress(OSError, WebSocketException, TimeoutError):
                url = app.address.replace("http", "ws") + "/_stcore/stream"
                opened.append(
                    held.enter_context(connect(url, subprotocols=["streamlit"], open_timeout=LONG_S))
                )
        attack.attempt(f"{len(opened)} of 200 sockets", withstood=len(opened) <= 128)
        more = handles(app) - before
        attack.attempt(f"{more} more handles", withstood=more <= 150)
        attack.attempt("a request meanwhile", withstood=answers(app))
    _wait_for_room(app)


def _wait_for_room(app: App) -> None:
    """Wait until the closed sockets are gone."""
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        with suppress(InvalidHandshake, OSError), Page(app.address) as page:
            page.run()
            return
        time.sleep(0.2)
    raise AssertionError("nobody is let in any more")


@pytest.mark.finding(18)
def test_strangers_do_not_fill_the_log(app: App, attack: Attack) -> None:
    before = app.log.stat().st_size
    for i in range(300):
        shake(app, origin=f"http://{'x' * 2000}{i}.example")
        if i < 100:
            _break_http(app)
    written = app.log.stat().st_size - before
    attack.attempt(f"{written} bytes of log for 400 attempts", withstood=written < 50_000)


def _break_http(app: App) -> None:
    name, port = app.address.removeprefix("http://").split(":")
    with suppress(OSError), socket.create_connection((name, int(port)), timeout=LONG_S) as wire:
        wire.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        wire.recv(100)


@pytest.mark.finding("low")
def test_who_asks_cannot_say_where_from(app: App, attack: Attack) -> None:
    """The address and the scheme are those of the connection, unless a proxy is trusted by name."""
    for name, value in (
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=1"),
    ):
        with httpx.Client(base_url=app.address, headers={name: value}) as client:
            # with another scheme believed, the page's own origin would be a foreign one
            status = client.get("/_stcore/health", headers={"origin": app.address}).status_code
            attack.attempt(name, withstood=status == 200)
    with ExitStack() as held:
        accepted = sum(shake_from(app, f"10.0.0.{i}", held) for i in range(40))
    attack.attempt(f"{accepted} sockets of 40 invented addresses", withstood=accepted <= 32)
    _wait_for_room(app)


def shake_from(app: App, address: str, held: ExitStack) -> bool:
    """Open a socket and say that it comes from somewhere else; tells whether it was opened."""
    url = app.address.replace("http", "ws") + "/_stcore/stream"
    try:
        opening = connect(url, additional_headers={"X-Forwarded-For": address}, open_timeout=LONG_S)
        held.enter_context(opening)
    except (OSError, WebSocketException, TimeoutError):
        return False
    return True


@pytest.mark.finding("low")
def test_the_loopback_of_ipv6_may_stand_in_brackets(tmp_path: Path, attack: Attack) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("no IPv6 on this computer")
    command = [sys.executable, "-m", "trivalent.cli.main", "app", "--home", str(tmp_path / "home")]
    options = ["--host", "[::1]", "--port", str(port), "--no-browser"]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until, status = time.monotonic() + 60, 0
        while time.monotonic() < until and server.poll() is None and status != 200:
            with suppress(httpx.HTTPError):
                status = httpx.get(f"http://[::1]:{port}/_stcore/health").status_code
            time.sleep(0.1)
        attack.attempt("--host [::1]", withstood=status == 200)
    finally:
        server.terminate()
        server.wait(30)
