"""Attacks on the service: slow clients, crafted files, long texts, queues."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from attack_log import Attack, descendants
from bundles import write_bundle, zip_bundle
from hostile_tables import folder_entries_zip, write_claiming_mp4
from service_tools import PASSWORD, TEXT, Server, clip, local_service, with_accounts
from slow_wire import HANGS_S, place, together, trickle
from trivalent.bundle import shelf as bundle_store
from trivalent.core.errors import BundleError
from trivalent.core.settings import Auth, Settings
from trivalent.store import Role, open_store
from trivalent.work import batch_files as intake


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all attacks that must leave it as it was."""
    started = Server(tmp_path_factory.mktemp("server") / "home")
    yield started
    started.close()


def address(server: Server) -> tuple[str, int]:
    return place(str(server.client.base_url))


# ---------------------------------------------------------------- 19: slow clients


def is_served_slowly(server: Server) -> bool:
    """Upload over a poor line: a few bytes a second for longer than any window."""
    body = json.dumps({"text": TEXT}).encode()
    with socket.create_connection(address(server), timeout=60) as sock:
        sock.sendall(
            b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        for i in range(len(body)):
            time.sleep(0.2)
            sock.sendall(body[i : i + 1])
        return b" 201 " in sock.recv(1000)


@pytest.mark.finding(19)
def test_half_sent_requests_are_ended_and_slow_ones_served(server: Server, attack: Attack) -> None:
    post = b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    good = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    tries = {
        "no byte at all": (b"", b""),
        "half a request line": (b"GET /hea", b""),
        "header without end": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"),
        "body that never comes": (post + b"Content-Length: 100\r\n\r\n", b""),
        "body a byte at a time": (post + b"Content-Length: 100000\r\n\r\n", b"a"),
        "chunked body a byte at a time": (post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        "second header without end": (good + b"GET /healthz HTTP/1.1\r\nX: ", b"a"),
    }
    ended = together(
        *(lambda f=first, d=drop: trickle(address(server), f, d) for first, drop in tries.values()),
        lambda: is_served_slowly(server),
    )
    for what, withstood in zip([*tries, "an honest client's eight seconds for a body"], ended, strict=True):
        attack.attempt(what, withstood=withstood)


@pytest.mark.finding(19)
def test_one_address_cannot_take_every_place(server: Server, attack: Attack) -> None:
    held = []
    try:
        for _ in range(450):
            held.append(socket.create_connection(address(server), timeout=5))
            held[-1].sendall(b"GET /heal")
        answered = False
        until = time.monotonic() + HANGS_S
        while not answered and time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                answered = httpx.get(f"{server.client.base_url}/healthz", timeout=5).status_code == 200
        attack.attempt("450 half-sent headers of one address", withstood=answered)
    finally:
        for sock in held:
            sock.close()


# ------------------------------------------------------- 4: parsers in the server


def upload(server: Server, name: str, data: bytes, **fields: str) -> httpx.Response:
    return server.client.post("/v1/analyses", files={"file": (name, data)}, data=fields, timeout=HANGS_S)


@pytest.mark.finding(4)
def test_a_table_that_claims_millions_costs_the_server_nothing(
    server: Server, tmp_path: Path, attack: Attack
) -> None:
    data = write_claiming_mp4(tmp_path / "claim.mp4").read_bytes()
    with attack.watch(server.process.pid):
        for name in ("talk.mp4", "notes.txt"):
            answer = upload(server, name, data)
            attack.attempt(f"upload as {name}", withstood=answer.status_code in (202, 415, 422))
    assert attack.peak_mb is not None
    attack.attempt("memory of the server", withstood=attack.peak_mb < server.fresh_mb + 150)
    answers = server.client.post("/v1/analyses", json={"text": TEXT}).status_code == 201
    attack.attempt("it still answers", withstood=answers and server.process.poll() is None)


@pytest.mark.finding(4)
def test_hostile_clips_cost_the_server_nothing(server: Server, tmp_path: Path, attack: Attack) -> None:
    sound = clip(tmp_path / "a.wav").read_bytes()
    bombs = {
        "sound cut short": sound[:60],
        "a zip of folders": folder_entries_zip(100_000),
        "zeros": bytes(20_000_000),
        "carriage returns": b"\r" * 16_000_000,
        "a playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        "a text of 60 MB": b"It was bad. " * 5_000_000,
    }
    with attack.watch(server.process.pid):
        for what, data in bombs.items():
            answer = upload(server, "a.mp4", data)
            attack.attempt(what, withstood=answer.status_code in (202, 413, 415, 422))
    assert attack.peak_mb is not None
    attack.attempt("memory of the server", withstood=attack.peak_mb < server.fresh_mb + 200)
    until = time.monotonic() + HANGS_S
    while time.monotonic() < until:
        states = [job["state"] for job in server.client.get("/v1/jobs").json()["items"]]
        if not {"queued", "running"} & set(states):
            break
        time.sleep(0.2)
    attack.attempt("the worker is free again", withstood=not {"queued", "running"} & set(states))


# ------------------------------------------------------------------ 7: long texts


@pytest.mark.finding(7)
def test_nobody_waits_for_the_long_text_of_another(tmp_path: Path, attack: Attack) -> None:
    """Two accounts; the worst text for one of them is 40,000 sentences."""
    home = tmp_path / "home"
    store = open_store(Settings(home=home, auth=Auth.LOCAL))
    secrets = {}
    for name in ("ada", "ben"):
        user = store.accounts.create(name, PASSWORD, role=Role.ADMINISTRATOR)
        secrets[name] = store.accounts.create_key(user, "test", per_minute=10_000)[1]
    store.close()
    server = Server(home, "--auth", "local", log=tmp_path / "server.log")
    try:
        url = f"{server.client.base_url}/v1/analyses"
        ada, ben = ({"Authorization": f"Bearer {secrets[n]}"} for n in ("ada", "ben"))

        def long(characters: int) -> None:
            text = ("Bad. " * (characters // 5 + 1))[:characters]
            with contextlib.suppress(httpx.TransportError):
                httpx.post(url, json={"text": text}, headers=ada, timeout=600)

        sizes = (100_000, 100_000, 20_000, *[3_900] * 12)
        threads = [threading.Thread(target=long, args=(size,), daemon=True) for size in sizes]
        for thread in threads:
            thread.start()
        time.sleep(3)
        with attack.watch(server.process.pid):
            waited = []
            for _ in range(5):
                began = time.monotonic()
                with contextlib.suppress(httpx.TransportError):
                    answer = httpx.post(url, json={"text": "Very good."}, headers=ben, timeout=HANGS_S)
                    waited.append(time.monotonic() - began if answer.status_code == 201 else HANGS_S)
        attack.attempt("ten characters of another account", withstood=len(waited) == 5 and max(waited) < 20)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(HANGS_S)
        ended = server.process.poll() is not None and time.monotonic() - began < 45
        attack.attempt("SIGTERM is obeyed", withstood=ended)
        attack.attempt("memory of the server", withstood=(attack.peak_mb or 0) < 900)
    finally:
        server.close()


@pytest.mark.finding(7)
def test_a_client_that_leaves_stops_the_work(server: Server, attack: Attack) -> None:
    """Otherwise a loop of requests that nobody waits for holds every child."""
    body = json.dumps({"text": "Bad. " * 780}).encode()
    head = (
        b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    for _ in range(60):
        with socket.create_connection(address(server), timeout=10) as sock:
            sock.sendall(head + body)
    began = time.monotonic()
    answer = server.client.post("/v1/analyses", json={"text": TEXT}, timeout=HANGS_S)
    quick = answer.status_code == 201 and time.monotonic() - began < 20
    attack.attempt("60 requests that nobody waits for", withstood=quick)


# --------------------------------------------------------- 14: models of strangers


def exploding_graph(floats_a_token: int) -> bytes:
    """Return a text graph whose memory grows with the tokens; it answers a few words at once."""
    nodes = [
        helper.make_node("Shape", ["ids"], ["tokens"], start=1),
        helper.make_node("Concat", ["tokens", "wide"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["much"]),
        helper.make_node("ReduceSum", ["much"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["nothing", "row"], ["logits"]),
    ]
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["n", "t"]) for n in ("ids", "mask")]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    constants = [
        numpy_helper.from_array(np.array([floats_a_token], np.int64), "wide"),
        numpy_helper.from_array(np.zeros((1, 3), np.float32), "row"),
    ]
    graph = helper.make_graph(nodes, "explodes", ids, [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return bytes(model.SerializeToString())


@pytest.mark.finding(14)
def test_a_model_that_explodes_costs_one_text(tmp_path: Path, attack: Attack) -> None:
    home = tmp_path / "home"
    write_bundle(
        home / "bundles" / "boom", modalities=["text"], graphs={"text": exploding_graph(12_000_000)}
    )
    server = Server(home, log=tmp_path / "server.log")
    try:
        wanted = {"text": "word " * 60, "options": {"model": "boom"}}
        with attack.watch(server.process.pid):
            for _ in range(2):
                with contextlib.suppress(httpx.TransportError):
                    server.client.post("/v1/analyses", json=wanted, timeout=HANGS_S)
        attack.attempt("memory", withstood=(attack.peak_mb or 1e9) < server.fresh_mb + 300)
        with contextlib.suppress(httpx.TransportError):
            answers = server.client.post("/v1/analyses", json={"text": TEXT}, timeout=HANGS_S)
        attack.attempt("it still answers", withstood=answers.status_code == 201)
    finally:
        server.close()


@pytest.mark.finding(14)
def test_a_model_that_explodes_later_is_refused_at_its_trial(tmp_path: Path, attack: Attack) -> None:
    folder = write_bundle(
        tmp_path / "boom", modalities=["text"], graphs={"text": exploding_graph(12_000_000)}
    )
    with pytest.raises(BundleError):
        bundle_store.install(zip_bundle(folder, tmp_path / "boom.zip"), tmp_path / "home")
    attack.attempt("a graph of 5 GB for 128 tokens", withstood=True)


@pytest.mark.finding(15)
def test_a_zip_of_folders_is_refused_at_once(tmp_path: Path, attack: Attack) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(folder_entries_zip(2_000_000))
    began = time.monotonic()
    with pytest.raises(BundleError):
        bundle_store.install(archive, tmp_path / "home")
    attack.attempt("two million folders as a bundle", withstood=time.monotonic() - began < 20)
    began = time.monotonic()
    outcomes = list(intake.unpack("a.zip", archive, tmp_path, largest=1000))
    refused = len(outcomes) == 1 and isinstance(outcomes[0], intake.Refused)
    attack.attempt("and as a batch", withstood=refused and time.monotonic() - began < 20)


# ------------------------------------------------------------------ 13: one account


@pytest.mark.finding(13)
def test_one_account_cannot_take_the_places_of_others(tmp_path: Path, attack: Attack) -> None:
    data = clip(tmp_path / "a.wav").read_bytes()
    with with_accounts(tmp_path / "home", queue_limit=8) as service:
        ada, ben = (service.client(service.account(n)) for n in ("ada", "ben"))
        codes = []
        for _ in range(12):
            codes.append(ada.post("/v1/analyses", files={"file": ("a.wav", data)}).status_code)
        attack.attempt("twelve uploads into a queue of eight", withstood=codes.count(202) < 8)
        answer = ada.post("/v1/analyses", files={"file": ("a.wav", data)})
        attack.attempt("it is told that its own share is used up", withstood=answer.status_code == 429)
        attack.attempt("and when to come back", withstood="Retry-After" in answer.headers)
        taken = ben.post("/v1/analyses", files={"file": ("a.wav", data)}).status_code
        attack.attempt("another account finds a place", withstood=taken == 202)
        attack.attempt("the queue is not full", withstood=ada.get("/readyz").json()["queue"] is True)


@pytest.mark.finding(13)
def test_a_full_queue_is_no_broken_service(tmp_path: Path, attack: Attack) -> None:
    server = Server(tmp_path / "home", "--queue-limit", "1", log=tmp_path / "server.log")
    try:
        long = clip(tmp_path / "a.wav", seconds=60).read_bytes()
        upload(server, "a.wav", long)
        answer = server.client.get("/readyz")
        told = answer.json()
        attack.attempt("full", withstood=(answer.status_code, told["status"]) == (200, "full"))
    finally:
        server.close()


# --------------------------------------------------- 8: what a killed child leaves


@pytest.mark.finding(8)
def test_a_killed_child_leaves_no_words(tmp_path: Path, attack: Attack) -> None:
    """The transcript of a recording, in no file but the database, whatever dies when."""
    words = "marzipan is what we said"
    home, scratch = tmp_path / "home", tmp_path / "tmp"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(scratch))
        server = Server(home, log=tmp_path / "server.log")
    try:
        options = json.dumps({"transcript": f"1\n00:00:00,000 --> 00:00:50,000\n{words}\n"})
        recording = clip(tmp_path / "a.wav", seconds=60).read_bytes()
        job = upload(server, "a.wav", recording, options=options).json()["id"]
        until = time.monotonic() + HANGS_S
        while server.client.get(f"/v1/jobs/{job}").json()["stage"] not in ("voice", "speech"):
            assert time.monotonic() < until
            time.sleep(0.02)
        for pid in descendants(server.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while server.client.get(f"/v1/jobs/{job}").json()["state"] not in ("failed", "done"):
            assert time.monotonic() < until
            time.sleep(0.1)
        attack.attempt("child killed: temporary folder", withstood=not list(scratch.rglob("*")))
        server.client.delete("/v1/me/data")
        left = [p for p in home.rglob("*") if p.is_file() and words.encode() in p.read_bytes()]
        attack.attempt("and all data deleted", withstood=not left)
    finally:
        server.close()


# ------------------------------------------------------------------------- low


@pytest.mark.finding("low")
def test_a_damaged_bundle_does_not_hide_the_others(tmp_path: Path, attack: Attack) -> None:
    with local_service(tmp_path / "home") as service:
        folder = write_bundle(tmp_path / "home" / "bundles" / "torn", modalities=["text"])
        (folder / "bundle.json").write_text("{", encoding="utf-8")
        answer = service.client().get("/v1/models")
        rows = answer.json()["items"] if answer.status_code == 200 else []
        attack.attempt("/v1/models", withstood="default" in [row["name"] for row in rows])
        told = [row["problem"] for row in rows if row["name"] == "torn"]
        attack.attempt("it is told", withstood=bool(told and told[0]))


@pytest.mark.finding("low")
def test_a_spool_that_cannot_be_written_is_told(tmp_path: Path, attack: Attack) -> None:
    data = clip(tmp_path / "a.wav").read_bytes()
    with local_service(tmp_path / "home") as service:
        spool = tmp_path / "home" / "spool"
        spool.rmdir()
        spool.write_text("in the way")
        ready = service.client().get("/readyz")
        attack.attempt("readiness", withstood=ready.json().get("storage") is False)
        answer = service.client().post("/v1/analyses", files={"file": ("a.wav", data)})
        attack.attempt("an upload", withstood=answer.status_code == 503)


@pytest.mark.finding("low")
def test_a_full_disk_is_told(tmp_path: Path, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = clip(tmp_path / "a.wav").read_bytes()
    with local_service(tmp_path / "home") as service:
        usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        ready = service.client().get("/readyz")
        attack.attempt("readiness", withstood=ready.json()["status"] == "not ready")
        attack.attempt("and why", withstood=ready.json().get("storage") is False)
        answer = service.client().post("/v1/analyses", files={"file": ("a.wav", data)})
        attack.attempt("an upload", withstood=answer.status_code == 507)
        long = service.client().post("/v1/analyses", json={"text": "It was bad. " * 1000})
        attack.attempt("a long text", withstood=long.status_code == 507)
        attack.attempt("without a path", withstood=str(tmp_path) not in answer.text)
        gone = service.client().delete("/v1/me/data").status_code
        attack.attempt("a deletion", withstood=gone == 200)


@pytest.mark.finding("low")
def test_an_upload_begun_before_revocation_is_refused(tmp_path: Path, attack: Attack) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home, auth=Auth.LOCAL)
    store = open_store(settings)
    user = store.accounts.create("ada", PASSWORD, role=Role.ADMINISTRATOR)
    key, secret = store.accounts.create_key(user, "test", per_minute=1000)
    server = Server(home, "--auth", "local", log=tmp_path / "server.log")
    try:
        data = clip(tmp_path / "a.wav").read_bytes()
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        body = head + data + b"\r\n--b--\r\n"
        with socket.create_connection(address(server), timeout=60) as sock:
            sock.sendall(
                b"POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n"
                % (secret.encode(), len(body))
            )
            sock.sendall(body[:1000])
            time.sleep(1)
            store.accounts.revoke_key(user, key.id)
            sock.sendall(body[1000:])
            attack.attempt("the rest of it", withstood=b" 401 " in sock.recv(1000))
        attack.attempt("no job", withstood=store.jobs.list(user).total == 0)
    finally:
        server.close()
        store.close()


@pytest.mark.finding("low")
def test_a_local_process_cannot_speak_for_another_address(tmp_path: Path, attack: Attack) -> None:
    """Failed keys are counted by address; a header of the client's must not change it."""
    home = tmp_path / "home"
    store = open_store(Settings(home=home, auth=Auth.LOCAL))
    store.accounts.create("ada", PASSWORD, role=Role.ADMINISTRATOR)
    store.close()
    server = Server(home, "--auth", "local", log=tmp_path / "server.log")
    try:
        codes = []
        for i in range(30):
            headers = {"Authorization": "Bearer tv_wrong", "X-Forwarded-For": f"192.0.2.{i}"}
            codes.append(server.client.get("/v1/me", headers=headers).status_code)
        attack.attempt("a new address for each guess", withstood=429 in codes)
    finally:
        server.close()
