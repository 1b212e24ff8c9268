"""What a hostile client, file or web page may try."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from media_samples import write_picture
from service_tools import TEXT, Local, clip, local_service, with_accounts
from trivalent.service import authentication as caller
from trivalent.service import bodies
from trivalent.service.limits import TokenBuckets

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with local_service(tmp_path_factory.mktemp("home"), max_upload_mb=LIMIT / 1e6) as opened:
        yield opened


@pytest.fixture
def client(service: Local) -> TestClient:
    return service.client()


def left(service: Local) -> list[Path]:
    return list((service.settings.home / "spool").glob(".part-*"))


# ---------------------------------------------------------------- web pages


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "["])
def test_a_name_that_was_made_to_lead_here_is_refused(client: TestClient, host: str) -> None:
    """DNS rebinding: the page's own name resolves to this computer."""
    answer = client.get("/v1/analyses", headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (421, "/docs#problem-misdirected")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000"])
def test_local_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/analyses", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_foreign_pages_are_refused(client: TestClient, headers: dict) -> None:
    for method, body in (("GET", {}), ("DELETE", {}), ("POST", {"content": "text"})):
        path = "/v1/me/data" if method == "DELETE" else "/v1/analyses"
        answer = client.request(method, path, headers=headers, **body)
        assert answer.status_code == 403, (method, headers)
        assert "access-control-allow-origin" not in answer.headers


def test_own_pages_and_followed_links_are_answered(client: TestClient) -> None:
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/analyses", json={"text": TEXT}, headers=own).status_code == 201
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/docs", headers=followed).status_code == 200
    assert client.post("/v1/analyses", json={"text": TEXT}, headers=followed).status_code == 403


def test_no_foreign_page_may_ask_first(client: TestClient) -> None:
    headers = {"Origin": "http://localhost", "Access-Control-Request-Method": "DELETE"}
    answer = client.options("/v1/me/data", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_has_the_headers(client: TestClient) -> None:
    refused = client.get("/healthz", headers={"Host": "evil.example"})
    for answer in (client.get("/docs"), client.get("/v1/analyses"), client.get("/none"), refused):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Request-ID"]


# ------------------------------------------------------------------ problems


def test_errors_are_problem_documents(client: TestClient) -> None:
    for answer, status in (
        (client.get("/none"), 404),
        (client.put("/v1/analyses"), 405),
        (client.post("/v1/analyses", content=b"x"), 415),
        (client.get("/v1/analyses", params={"limit": "many"}), 422),
    ):
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, problem["status"]) == (status, status)
        assert problem["instance"] == f"urn:uuid:{answer.headers['X-Request-ID']}"
        assert {"type", "title", "detail"} <= set(problem)
    assert client.put("/v1/analyses").headers["Allow"]


def test_an_unexpected_error_tells_nothing_but_where_to_look(
    service: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(service.store.accounts, "local_user", broken)
    answer = service.client().get("/v1/analyses")
    assert answer.status_code == 500
    assert "swordfish" not in answer.text
    assert answer.json()["instance"].removeprefix("urn:uuid:") in caplog.text
    assert "swordfish" in caplog.text


def test_the_log_holds_no_text_and_no_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with with_accounts(tmp_path / "home") as service:
        secret = service.account("Ann")
        client = service.client(secret)
        client.post("/v1/analyses", json={"text": "I love marzipan.", "name": "marzipan"})
        client.get("/v1/analyses", params={"text": "marzipan"})
        client.get("/marzipan%0Aforged line")
        client.get("/v1/models/marzipan%0Aforged")
    ours = [r for r in caplog.records if r.name.startswith("trivalent.service")]
    assert len(ours) == 4, "one line for a request"
    text = "\n".join(r.getMessage() for r in ours)
    assert len(text.splitlines()) == 4
    assert "love" not in text
    assert secret not in caplog.text
    assert "Ann" not in caplog.text


# ------------------------------------------------------------------- uploads


def form(name: str, content: bytes, *, before: bytes = b"") -> tuple[bytes, dict[str, str]]:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return before + head + content + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def test_names_are_shown_and_never_used(service: Local, client: TestClient, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.wav").read_bytes()
    for given, shown in (
        ("../../../../tmp/evil.wav", "evil.wav"),
        ("C:\\windows\\evil.wav", "evil.wav"),
        ("a\x1bb.wav", "ab.wav"),
        ("..", "recording"),
        ("x" * 1000 + ".wav", "x" * 191 + ".wav"),
    ):
        content, headers = form(given, data)
        answer = client.post("/v1/analyses", content=content, headers=headers)
        assert (answer.status_code, answer.json().get("name")) == (202, shown), answer.text
    assert not (tmp_path / "evil.wav").exists()
    home = service.settings.home.resolve()
    spooled = [p for p in (home / "spool").rglob("*") if p.is_file()]
    assert len(spooled) == 5
    assert all(home in p.resolve().parents and "evil" not in p.name for p in spooled)
    client.delete("/v1/me/data")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.wav", b"RIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 5000,
        b"MZ\x90\x00" + os.urandom(3000),
        _zip(),
        b"%PDF-1.7\n...",
        b"RIFF\x00\x00\x00\x00WAVE",
    ],
    ids=["empty", "zeros", "program", "zip", "pdf", "cut"],
)
def test_what_is_neither_media_nor_text_is_refused(
    service: Local, client: TestClient, content: bytes
) -> None:
    files = {"file": ("talk.mp4", content, "video/mp4")}
    answer = client.post("/v1/analyses", files=files)
    assert (answer.status_code, answer.json()["type"]) == (415, "/docs#problem-unsupported")
    assert left(service) == []


def test_a_picture_is_refused(client: TestClient, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "face.png").read_bytes()
    answer = client.post("/v1/analyses", files={"file": ("face.mp4", picture, "video/mp4")})
    assert answer.status_code == 415


def test_a_file_is_read_as_what_it_is(service: Local, client: TestClient, tmp_path: Path) -> None:
    sound = clip(tmp_path / "clip.wav").read_bytes()
    for name, content, kind in (
        ("notes.txt", b"I love it.", "text"),
        ("talk.mp4", "J'ai aimé ça".encode("latin-1"), "text"),
        ("notes.txt", sound, "recording"),
        ("noise", sound, "recording"),
    ):
        answer = client.post("/v1/analyses", files={"file": (name, content, "application/pdf")})
        assert (answer.status_code, answer.json().get("name")) == (202, name), answer.text
        job = service.store.jobs.get(service.store.accounts.local_user(), answer.json()["id"])
        assert job.options["kind"] == kind
    client.delete("/v1/me/data")


def test_the_limit_holds_whatever_is_announced(service: Local, client: TestClient) -> None:
    content, headers = form("a.wav", b"\x01" * (LIMIT + 1))

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(content), 65536):
            yield content[start : start + 65536]

    for body in (content, chunks()):  # with Content-Length, and without
        answer = client.post("/v1/analyses", content=body, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (413, "/docs#problem-too-large")
        assert "1 MB" in answer.json()["detail"]
    announced = client.post(
        "/v1/analyses", content=b"", headers={**headers, "Content-Length": "99999999999"}
    )
    assert announced.status_code == 413
    assert left(service) == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"--b\r\n", "multipart/form-data", 400),
        (b"garbage", "multipart/form-data; boundary=b", 400),
        (b"", "multipart/form-data; boundary=b", 400),
        (form("a", b"x")[0][:-4], "multipart/form-data; boundary=b", 400),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b\r\nX: y\r\n\r\nz\r\n--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b\r\n" + b"X" * 100_000 + b"\r\n\r\n", "multipart/form-data; boundary=b", 400),
        (
            form("a", b"x", before=form("b", b"y")[0].removesuffix(b"--b--\r\n"))[0],
            "multipart/form-data; boundary=b",
            422,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="tags"\r\n\r\nx\r\n' * 51 + form("a", b"x")[0],
            "multipart/form-data; boundary=b",
            400,
        ),
        (
            form(
                "a",
                b"x",
                before=b'--b\r\nContent-Disposition: form-data; name="options"\r\n\r\n'
                + b"x" * 2_000_001
                + b"\r\n",
            )[0],
            "multipart/form-data; boundary=b",
            413,
        ),
    ],
)
def test_malformed_forms(
    service: Local, client: TestClient, content: bytes, kind: str, status: int
) -> None:
    answer = client.post("/v1/analyses", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert left(service) == []


def ask_slowly(service: Local, body: bytes, headers: dict[str, str], *, leaves: bool) -> list[dict]:
    """Send a first part of a body, then leave or fall silent; returns what was answered."""
    incoming = iter([{"type": "http.request", "body": body, "more_body": True}])
    answered: list[dict] = []

    async def receive() -> dict:
        if (message := next(incoming, None)) is not None:
            return message
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        answered.append(message)

    given = {"host": "localhost", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/analyses",
        "raw_path": b"/v1/analyses",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    asyncio.run(service.app(scope, receive, send))
    return answered


@pytest.mark.parametrize("kind", ["form", "json"])
def test_a_client_that_stalls_or_leaves_keeps_nothing(
    service: Local, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(bodies, "STALL_S", 0.05)
    content, headers = form("a.wav", b"RIFF")
    content = content[:-4]
    if kind == "json":
        content, headers = b'{"text": "I lo', {"Content-Type": "application/json"}
    start, body = ask_slowly(service, content, headers, leaves=False)
    assert start["status"] == 408
    assert b"problem-slow" in body["body"]
    assert ask_slowly(service, content, headers, leaves=True) == []
    assert left(service) == []
    assert " 499 " in caplog.messages[-1]
    assert not [r for r in caplog.records if r.exc_info]


# -------------------------------------------------------------------- limits


def test_a_key_has_a_rate(tmp_path: Path) -> None:
    with with_accounts(tmp_path / "home") as service:
        slow, quick = service.account("Ann", per_minute=3), service.account("Bob")
        statuses = [service.client(slow).get("/v1/me").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        answer = service.client(slow).get("/v1/me")
        assert answer.json()["type"] == "/docs#problem-rate-limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 20
        assert service.client(quick).get("/v1/me").status_code == 200


def test_failures_slow_an_address_down(tmp_path: Path) -> None:
    with with_accounts(tmp_path / "home") as service:
        good, bad = service.client(service.account("Ann")), service.client("tv_guess")
        statuses = [bad.get("/v1/me").status_code for _ in range(caller.FAILURES_PER_MINUTE + 2)]
        assert set(statuses[:-2]) == {401}
        assert statuses[-2:] == [429, 429]
        assert good.get("/v1/me").status_code == 429, "the address waits, not the key"
        assert int(good.get("/v1/me").headers["Retry-After"]) >= 1


def test_buckets_fill_with_time() -> None:
    now = [0.0]
    buckets = TokenBuckets(clock=lambda: now[0])
    assert [buckets.take("a", per_minute=2) for _ in range(3)] == [0, 0, 30]
    now[0] = 29
    assert buckets.peek("a", per_minute=2) == pytest.approx(1)
    now[0] = 30
    assert buckets.take("a", per_minute=2) == 0
    now[0] = 1e6
    assert [buckets.take("a", per_minute=2) for _ in range(3)] == [0, 0, 30], (
        "no more than a minute's worth"
    )
    assert buckets.take("b", per_minute=2) == 0
