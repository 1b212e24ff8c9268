"""The service as a process: killed, asked to stop, and given more than it takes."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service_tools import TEXT, Server, clip
from trivalent.core.settings import Settings
from trivalent.store import JobState, Query, open_store

# no recognition of speech, no face: what is tested is the queue
OPTIONS = json.dumps({"modalities": ["text", "audio"], "transcript": "All is well."})
JOBS = 10


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers over one home; they are gone at the end."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / "home", *options, log=tmp_path / "server.log"))
        return started[-1]

    yield start
    for server in started:
        server.close()


def submit(server: Server, recording: Path, name: str, options: str = OPTIONS) -> httpx.Response:
    files = {"file": (name, recording.read_bytes())}
    return server.client.post("/v1/analyses", files=files, data={"options": options})


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until something holds; the limit is only there to end a test that hangs."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def jobs(server: Server, state: str) -> list[dict]:
    return server.client.get("/v1/jobs", params={"state": state, "limit": 100}).json()["items"]


def let_leases_run_out(home: Path) -> None:
    """Do as if the time of a lease had passed since the server was killed."""
    with sqlite3.connect(home / "history.sqlite") as database:
        database.execute("UPDATE jobs SET lease_until = '2020-01-01 00:00:00' WHERE state = 'running'")


def test_a_killed_server_finishes_every_job_once(serve: Callable[..., Server], tmp_path: Path) -> None:
    recording = clip(tmp_path / "clip.wav")
    server = serve()
    ids = []
    for i in range(JOBS):
        answer = submit(server, recording, f"take {i}.wav")
        assert answer.status_code == 202, answer.text
        ids.append(answer.json()["id"])
    wait_for(lambda: len(jobs(server, "done")) >= 3 and jobs(server, "running"))
    server.end(signal.SIGKILL)

    with sqlite3.connect(tmp_path / "home" / "history.sqlite") as database:
        states = [state for (state,) in database.execute("SELECT state FROM jobs")]
    assert len(states) == JOBS
    assert 3 <= states.count("done") < JOBS, "it was killed in the middle"
    let_leases_run_out(tmp_path / "home")

    again = serve()
    wait_for(lambda: len(jobs(again, "done")) == JOBS)
    done = {job["id"]: job for job in jobs(again, "done")}
    assert set(done) == set(ids)
    assert {job["attempts"] for job in done.values()} <= {1, 2}
    listed = again.client.get("/v1/analyses", params={"limit": 100}).json()
    assert listed["total"] == JOBS
    assert sorted(item["name"] for item in listed["items"]) == sorted(f"take {i}.wav" for i in range(JOBS))
    assert {item["id"] for item in listed["items"]} == {job["analysis_id"] for job in done.values()}
    for job in done.values():
        assert again.client.get(job["analysis"]).json()["analysis"]["source"]["kind"] == "audio"
    assert not list((tmp_path / "home" / "spool").iterdir()), "no upload is left"


def test_a_server_that_is_asked_to_stop_loses_nothing(serve: Callable[..., Server], tmp_path: Path) -> None:
    """The request in flight is answered, the running job is queued again, the next is not taken."""
    server = serve()
    assert server.client.get("/readyz").status_code == 200
    long = clip(tmp_path / "long.wav", seconds=60)
    job = submit(server, long, "long.wav", '{"transcript": "All is well."}').json()["id"]
    wait_for(lambda: jobs(server, "running"))
    with _Announced(server, json.dumps({"text": TEXT}).encode()) as request:
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: _is_refused(server))
        answer = request.send_body()
    assert server.process.wait(60) == 0
    assert answer.startswith(b"HTTP/1.1 201 ")

    store = open_store(Settings(home=tmp_path / "home"))
    user = store.accounts.local_user()
    left = store.jobs.get(user, job)
    assert (left.state, left.attempts) == (JobState.QUEUED, 0)
    (record,) = store.history(user).search(Query()).records
    assert record.id.encode() in answer
    store.close()


class _Announced:
    """A request whose headers the server has read, and whose body it waits for."""

    def __init__(self, server: Server, body: bytes, kind: str = "application/json") -> None:
        url, self.body = server.client.base_url, body
        self.connection = socket.create_connection((url.host, url.port or 80), timeout=60)
        head = (
            f"POST /v1/analyses HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(body)}\r\nContent-Type: {kind}\r\n\r\n"
        )
        self.connection.sendall(head.encode())
        self.first = self.connection.recv(65536)

    def send_body(self) -> bytes:
        """Send the body; returns the answer."""
        assert self.first.startswith(b"HTTP/1.1 100 ")
        self.connection.sendall(self.body)
        answer = b""
        while chunk := self.connection.recv(65536):
            answer += chunk
        return answer

    def __enter__(self) -> _Announced:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def _is_refused(server: Server) -> bool:
    try:
        httpx.get(f"{server.client.base_url}/healthz")
    except httpx.TransportError:
        return True
    return False


def memory_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc for the memory")
def test_more_than_it_takes(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--max-upload-mb", "1", "--queue-limit", "2")
    _large_uploads(server, tmp_path / "home")
    recording = clip(tmp_path / "clip.wav")
    accepted, refused = [], []
    for i in range(6):
        answer = submit(server, recording, f"take {i}.wav")
        (accepted if answer.status_code == 202 else refused).append(answer)
    assert len(accepted) >= 2
    assert refused
    for answer in refused:
        assert answer.status_code == 503
        assert answer.json()["type"] == "/docs#problem-queue-full"
        assert 1 <= int(answer.headers["Retry-After"]) <= 600
    wait_for(lambda: len(jobs(server, "done")) == len(accepted))
    assert submit(server, recording, "later.wav").status_code == 202


def _large_uploads(server: Server, home: Path) -> None:
    size = 50_000_000
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert server.client.get("/readyz").status_code == 200, "models are loaded"
    before = memory_bytes(server)

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(size // 50_000):
            yield b"\x01" * 50_000

    answer = server.client.post("/v1/analyses", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "/docs#problem-too-large")
    assert memory_bytes(server) - before < size / 2, "it is not held in memory"
    assert not list((home / "spool").iterdir())
    # a client that asks first need not send it at all
    with _Announced(server, b"x" * 5_000_000, headers["Content-Type"]) as request:
        assert request.first.startswith(b"HTTP/1.1 413 ")


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Asyncio sends at once (TCP_NODELAY) only on sockets that say that they are TCP."""
    from trivalent.serving.listener import listen

    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_told_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trivalent.cli.main import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--home", str(tmp_path / "home")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert f"127.0.0.1:{port}" in error


def test_a_public_address_needs_accounts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trivalent.cli.main import main

    assert main(["serve", "--host", "0.0.0.0", "--home", str(tmp_path / "home")]) == 2
    assert "--auth local" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()
