"""Downloads of official files from a server on this machine that misbehaves in every way we know."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivalent.cli.main import main
from trivalent.core.errors import DataError, UsageError
from trivalent.lab.datasets import fetch as fetch_module
from trivalent.lab.datasets.download import Patience, Placement, download, placement
from trivalent.lab.datasets.entry import Entry, OfficialFile
from trivalent.lab.datasets.fetch import Fetched, FetchOutcome, fetch
from trivalent.lab.datasets.protocols import Protocol
from trivalent.lab.datasets.registry import DATASETS

CONTENT = bytes(range(256)) * 40
QUICK = Patience(timeout_s=5.0, tries=3, pause_s=0.0, longest_pause_s=0.0)


@dataclass
class Served:
    """A file of the test server; what is in a list is used up, one for each request."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    announced: int | None = None  # a Content-Length that is not true
    chunked: bool = False
    redirect: str | None = None
    type: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # bytes of the body after which the connection is dropped
    hangs: int = 0  # requests that are never answered
    after_cut: dict[str, Any] = field(default_factory=dict)  # what changes with the next request


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.release = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        name = self.path.lstrip("/")
        self.server.asked.append((name, dict(self.headers.items())))
        file = self.server.files.get(name)
        if file is None or file.statuses:
            self._head(file.statuses.pop(0) if file else 404, {"Content-Length": "0", "Retry-After": "7"})
        elif file.hangs:
            file.hangs -= 1
            self.server.release.wait(30)
        elif file.redirect:
            self._head(302, {"Location": file.redirect, "Content-Length": "0"})
        else:
            self._serve(file)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _serve(self, file: Served) -> None:
        size, start = len(file.content), 0
        headers = {"Content-Type": file.type}
        headers |= {"ETag": file.etag} if file.etag else {}
        headers |= {"Last-Modified": file.modified} if file.modified else {}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if asked and file.ranges and (not file.if_range or condition in (None, file.etag, file.modified)):
            start = int(asked[1])
            if start >= size:
                return self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        body = file.content[start:]
        length = len(body) if file.announced is None else file.announced
        headers |= {"Transfer-Encoding": "chunked"} if file.chunked else {"Content-Length": str(length)}
        self._head(206 if "Content-Range" in headers else 200, headers)
        cut = file.cuts.pop(0) if file.cuts else None
        sent = body[:cut]
        for key, value in (file.after_cut if cut is not None else {}).items():
            setattr(file, key, value)
        if file.chunked:
            # A chunk of no bytes would be the regular end.
            chunk = b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b""
            sent = chunk + (b"0\r\n\r\n" if cut is None else b"")
        self.wfile.write(sent)
        return None


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.release.set()
    running.shutdown()
    thread.join()
    running.server_close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def no_samples(*args: Any) -> Any:
    raise DataError("expected samples, got none; this is a test")


def entry(*files: OfficialFile) -> Entry:
    return Entry(
        "demo",
        "a test",
        "none",
        "https://example.org",
        (Protocol("only", "a test"),),
        no_samples,
        files=files,
        remedy="ask the authors",
    )


def one(server: Server, *names: str, **known: Any) -> Entry:
    """Return an entry with one file, which the server has under these names."""
    return entry(OfficialFile("demo/file.bin", tuple(server.url(name) for name in names), **known))


def get(found: Entry, root: Path, **options: Any) -> list[Fetched]:
    return fetch(found, root, **{"patience": QUICK, **options})


def target(root: Path) -> Path:
    return root / "demo" / "file.bin"


def rest(root: Path) -> list[str]:
    """Names beside the file itself: parts, locks."""
    folder = root / "demo"
    return sorted(p.name for p in folder.iterdir() if p.name != "file.bin") if folder.is_dir() else []


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served()
    demo = one(server, "a", size=len(CONTENT), sha256=sha256(CONTENT))
    told: list[Fetched] = []
    done = get(demo, tmp_path / "new", tell=told.append)
    assert done == told == [Fetched(target(tmp_path / "new"), FetchOutcome.FETCHED, "10,240 bytes")]
    assert target(tmp_path / "new").read_bytes() == CONTENT
    assert rest(tmp_path / "new") == []
    assert get(demo, tmp_path / "new")[0].outcome is FetchOutcome.PRESENT
    assert len(server.asked) == 1
    assert server.asked[0][1]["User-Agent"].startswith("trivalent/")


def test_a_dropped_connection_is_continued(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(cuts=[1000, 500, 0, 0, 1])
    get(one(server, "a"), tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=1000-", *["bytes=1500-"] * 3, "bytes=1501-"]
    assert [headers.get("If-Range") for _, headers in server.asked] == [None, *['"one"'] * 5]
    assert rest(tmp_path) == []


@given(
    content=st.binary(min_size=1, max_size=4000),
    cuts=st.lists(st.integers(0, 1500), max_size=8),
    served=st.fixed_dictionaries(
        {
            "ranges": st.booleans(),
            "etag": st.sampled_from([None, '"a"', 'W/"a"']),
            "modified": st.sampled_from([None, "Sat, 01 Jan 2022 00:00:00 GMT"]),
            "chunked": st.booleans(),
        }
    ),
    known=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_drops_the_file_is_whole(
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    cuts: list[int],
    served: dict[str, Any],
    known: bool,
) -> None:
    server.files["a"] = Served(b"." + content, cuts=cuts, **served)
    demo = one(server, "a", sha256=sha256(b"." + content) if known else None)
    root = tmp_path_factory.mktemp("root")
    get(demo, root, patience=Patience(tries=20, pause_s=0.0, longest_pause_s=0.0))
    assert target(root).read_bytes() == b"." + content


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.one_of(st.none(), st.integers(0, 10**12)),
)
def test_only_the_part_that_was_asked_for_is_accepted(
    have: int, first: int, last: int, total: int | None
) -> None:
    header = f"bytes {first}-{last}/{'*' if total is None else total}"
    found = placement(206, have=have, content_range=header)
    possible = first == have and last >= first and (total is None or last < total)
    assert found == (Placement(have, last + 1, total) if possible else None)


@pytest.mark.parametrize("header", [None, "", "bytes 5-9", "bytes */10", "items 5-9/10", "bytes -9/10"])
def test_an_answer_that_makes_no_sense(header: str | None) -> None:
    assert placement(206, have=5, content_range=header) is None
    assert placement(204, have=5) is None


def test_a_server_that_ignores_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(ranges=False, cuts=[1000])
    get(one(server, "a"), tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=1000-"]


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), 5000])
def test_a_file_that_changes_meanwhile_is_not_mixed(
    server: Server, tmp_path: Path, obeys: bool, size: int
) -> None:
    after = CONTENT[::-1][:size]
    server.files["a"] = Served(cuts=[1000], if_range=obeys, after_cut={"etag": '"two"', "content": after})
    get(one(server, "a"), tmp_path)
    assert target(tmp_path).read_bytes() == after
    assert len(server.asked) == (2 if obeys else 3)


def test_a_file_that_changes_all_the_time_is_given_up(server: Server, tmp_path: Path) -> None:
    file = server.files["a"] = Served(cuts=[1000] * 9)
    etags = iter(range(99))

    class Changing(dict[str, Any]):
        def items(self) -> Any:
            return {"etag": f'"{next(etags)}"'}.items()

    file.after_cut = Changing(x=1)
    with pytest.raises(
        DataError, match=r"connection dropped after 1,000 bytes \(tried 3 times without getting further\)"
    ):
        get(one(server, "a"), tmp_path)
    assert not target(tmp_path).exists()


def test_without_a_version_only_a_checksum_allows_to_continue(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(etag=None, cuts=[1000])
    get(one(server, "a"), tmp_path / "blind")
    assert server.ranges() == [None, None]
    server.asked.clear()
    server.files["a"] = Served(etag=None, cuts=[1000])
    get(one(server, "a", sha256=sha256(CONTENT)), tmp_path / "checked")
    assert server.ranges() == [None, "bytes=1000-"]
    assert all("If-Range" not in headers for _, headers in server.asked)


def test_a_second_run_continues(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(
        etag='W/"weak"', modified="Sat, 01 Jan 2022 00:00:00 GMT", cuts=[4000, 0, 0, 0]
    )
    with pytest.raises(DataError, match="connection dropped after 4,000 bytes"):
        get(one(server, "a"), tmp_path)
    assert rest(tmp_path) == [".file.bin.part", ".file.bin.part.json"]
    server.asked.clear()
    get(one(server, "a"), tmp_path)
    assert server.ranges() == ["bytes=4000-"]
    assert server.asked[0][1]["If-Range"] == "Sat, 01 Jan 2022 00:00:00 GMT"
    assert target(tmp_path).read_bytes() == CONTENT


def test_a_corrupt_part_is_not_accepted(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(cuts=[4000, 0, 0, 0])
    demo = one(server, "a", size=len(CONTENT), sha256=sha256(CONTENT))
    with pytest.raises(DataError):
        get(demo, tmp_path)
    part = tmp_path / "demo" / ".file.bin.part"
    part.write_bytes(b"\0" * 4000)
    server.asked.clear()
    get(demo, tmp_path)
    assert server.ranges() == ["bytes=4000-", None]
    assert target(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 1])
def test_a_part_that_is_complete_or_too_long(server: Server, tmp_path: Path, extra: int) -> None:
    server.files["a"] = Served()
    part = tmp_path / "demo" / ".file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"x" * extra)
    get(one(server, "a", sha256=sha256(CONTENT)), tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=10240-"] if not extra else ["bytes=10241-", None]


def test_a_complete_part_with_its_memory_needs_no_server(tmp_path: Path) -> None:
    part = tmp_path / "demo" / ".file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    address = "http://127.0.0.1:9/a"
    memory = {"url": address, "etag": '"one"', "modified": None, "total": len(CONTENT)}
    part.with_name(f"{part.name}.json").write_text(json.dumps(memory), encoding="utf-8")
    get(entry(OfficialFile("demo/file.bin", (address,))), tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT
    assert rest(tmp_path) == []


@pytest.mark.parametrize("memory", ["", "[]", '{"no": 1}', "{", '{"url": "http://127.0.0.1/other"}'])
def test_a_damaged_memory_means_to_start_anew(server: Server, tmp_path: Path, memory: str) -> None:
    server.files["a"] = Served()
    part = tmp_path / "demo" / ".file.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"other")
    part.with_name(f"{part.name}.json").write_text(memory, encoding="utf-8")
    get(one(server, "a"), tmp_path)
    assert server.ranges() == [None]
    assert target(tmp_path).read_bytes() == CONTENT


WRONG = {
    "longer than sent": (
        Served(announced=len(CONTENT) + 5),
        {},
        r"dropped after 10,240 bytes \(tried 3|fewer bytes .* \(tried 3",
    ),
    "shorter than the file": (Served(announced=50), {"sha256": sha256(CONTENT)}, "expected sha256"),
    "not the known size": (Served(), {"size": 11_000}, "expected 11,000 bytes, the server has 10,240"),
    "more than the known size": (Served(chunked=True), {"size": 50}, "expected 50 bytes, the server sends"),
    "less than the known size": (
        Served(chunked=True),
        {"size": 11_000},
        "expected 11,000 bytes, the server has 10,240",
    ),
    "another content": (Served(), {"sha256": sha256(b"x")}, "expected sha256 2d711642b726... of demo/file"),
    "a page": (Served(b"<!DOCTYPE html><p>sign in", type="text/html"), {}, "got a web page"),
    "nothing": (Served(b""), {}, "got an empty file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused(server: Server, tmp_path: Path, case: str) -> None:
    server.files["a"], known, reason = WRONG[case]
    with pytest.raises(DataError, match=reason):
        get(one(server, "a", **known), tmp_path)
    assert not target(tmp_path).exists()


def test_errors_of_the_server(server: Server, tmp_path: Path) -> None:
    server.files |= {"gone": Served(statuses=[410] * 9), "busy": Served(statuses=[503] * 9)}
    server.files["late"] = Served(statuses=[503, 500])
    get(one(server, "absent", "gone", "busy", "late"), tmp_path)
    assert [name for name, _ in server.asked] == ["absent", "gone", *["busy"] * 3, *["late"] * 3]
    assert target(tmp_path).read_bytes() == CONTENT


def test_pauses_grow_and_a_server_may_ask_for_longer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.files["a"] = Served(cuts=[0] * 5)
    patience = Patience(pause_s=1.0, tries=6, longest_pause_s=10.0)
    get(one(server, "a"), tmp_path / "drops", patience=patience)
    server.files["a"] = Served(statuses=[503])
    get(one(server, "a"), tmp_path / "busy", patience=patience)
    assert [p for p in pauses if p >= 1] == [1, 2, 4, 8, 10, 7]


def test_a_silent_server_times_out(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(hangs=9)
    with pytest.raises(
        DataError, match=r"/a: timed out after 0.05 s \(tried 2 times without getting further\)"
    ):
        get(one(server, "a"), tmp_path, patience=Patience(timeout_s=0.05, tries=2, pause_s=0.0))
    server.files["a"].hangs = 1
    get(one(server, "a"), tmp_path, patience=Patience(timeout_s=1.0, tries=5, pause_s=0.0))
    assert target(tmp_path).read_bytes() == CONTENT


def test_redirects_are_followed_with_their_range(server: Server, tmp_path: Path) -> None:
    server.files |= {"a": Served(cuts=[1000]), "moved": Served(redirect="/a")}
    get(one(server, "moved"), tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT
    assert [name for name, _ in server.asked] == ["moved", "a"] * 2
    assert server.ranges() == [None, None, *["bytes=1000-"] * 2]


@pytest.mark.parametrize("where", ["ftp://127.0.0.1/x", "file:///etc/hostname", "/loop"])
def test_redirects_to_nowhere(server: Server, tmp_path: Path, where: str) -> None:
    server.files["loop"] = Served(redirect=where)
    with pytest.raises(DataError, match=r"unknown url type: ftp|not allowed|infinite loop"):
        get(one(server, "loop"), tmp_path)


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "/etc/hostname", ""]
)
def test_only_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="not an http or https address"):
        download(url, tmp_path / "part")


def test_all_failures_are_told_at_the_end(server: Server, tmp_path: Path) -> None:
    server.files["good"] = Served()
    closed = Server()  # bound, then closed: nobody listens there
    closed.server_close()
    files = (
        OfficialFile("demo/one.bin", (closed.url("one"), server.url("missing"))),
        OfficialFile("demo/two.bin", (closed.url("two"),)),
        OfficialFile("demo/asked.bin"),
        OfficialFile("demo/file.bin", (server.url("good"),)),
    )
    with pytest.raises(DataError) as caught:
        get(entry(*files), tmp_path)
    message = str(caught.value)
    assert message == (
        f"expected 4 official files of demo, got 1. {tmp_path}/demo/one.bin: no address gave it "
        f"({closed.url('one')}: connection refused, {server.url('missing')}: HTTP 404 Not Found); "
        f"{tmp_path}/demo/two.bin: no address gave it ({closed.url('two')}: connection refused); "
        f"{tmp_path}/demo/asked.bin: it has no public address. What to do: ask the authors; put each where "
        f"it is named here; verify with: trivalent data check demo --root {tmp_path}"
    )
    assert target(tmp_path).read_bytes() == CONTENT
    assert rest(tmp_path) == []


def test_a_name_that_does_not_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[str] = []

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("no_proxy", "*")
    files = [OfficialFile(f"demo/{i}.bin", (f"http://gone.invalid/{i}",)) for i in range(3)]
    with pytest.raises(DataError, match=r"gone.invalid/2: DNS failure, name or service not known"):
        get(entry(*files), tmp_path)
    assert asked == ["gone.invalid"]  # a server without an answer is asked once


def test_files_can_be_chosen(server: Server, tmp_path: Path) -> None:
    server.files |= {"a": Served(), "b": Served(b"other")}
    demo = entry(
        OfficialFile("demo/file.bin", (server.url("a"),)), OfficialFile("demo/b.bin", (server.url("b"),))
    )
    assert [d.path.name for d in get(demo, tmp_path, names=["b.bin"])] == ["b.bin"]
    assert [d.path.name for d in get(demo, tmp_path, names=["demo/file.bin"])] == ["file.bin"]
    with pytest.raises(UsageError, match=r"among demo/file.bin, demo/b.bin, got 'c.bin'"):
        get(demo, tmp_path, names=["b.bin", "c.bin"])
    with pytest.raises(DataError, match="got none known; ask the authors"):
        get(entry(), tmp_path)


def test_a_damaged_file_is_replaced_only_by_a_good_one(server: Server, tmp_path: Path) -> None:
    demo = one(server, "a", sha256=sha256(CONTENT))
    target(tmp_path).parent.mkdir()
    target(tmp_path).write_bytes(b"old")
    with pytest.raises(DataError, match="404"):
        get(demo, tmp_path)
    assert target(tmp_path).read_bytes() == b"old"
    server.files["a"] = Served()
    get(demo, tmp_path)
    assert target(tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_without_an_address(tmp_path: Path) -> None:
    demo = entry(OfficialFile("demo/file.bin", size=5))
    target(tmp_path).parent.mkdir()
    target(tmp_path).write_bytes(b"12345")
    assert get(demo, tmp_path)[0].outcome is FetchOutcome.PRESENT
    target(tmp_path).write_bytes(b"123")
    with pytest.raises(DataError, match=r"what is there is wrong: expected 5 bytes .* ask the authors"):
        get(demo, tmp_path)


def test_two_processes_do_not_write_one_file(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served()
    demo = one(server, "a")
    target(tmp_path).parent.mkdir()
    with (
        fetch_module._alone(target(tmp_path)),
        pytest.raises(DataError, match=r"file.bin: another process \(\d+\) is fetching it; wait") as caught,
    ):
        get(demo, tmp_path)
    assert "ask the authors" not in str(caught.value)
    assert server.asked == []
    assert get(demo, tmp_path)[0].outcome is FetchOutcome.FETCHED
    assert rest(tmp_path) == []


def test_many_at_once_get_one_whole_file(server: Server, tmp_path: Path) -> None:
    server.files["a"] = Served(cuts=[100] * 20)
    demo, outcomes = one(server, "a", sha256=sha256(CONTENT)), []

    def work() -> None:
        while True:
            try:
                outcomes.append(get(demo, tmp_path)[0].outcome)
                return
            except DataError as error:
                assert "another process" in str(error)  # noqa: PT017

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["fetched", *["present"] * 3]
    assert target(tmp_path).read_bytes() == CONTENT
    assert rest(tmp_path) == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_full_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    server.files |= {"a": Served(), "b": Served()}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match=r"expected 0.02 GB of free disk, got 0.00 GB\); make room"):
        get(one(server, "a", "b", size=size), tmp_path)
    assert len(server.asked) == (0 if size else 1)  # another address would not help


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        get(one(server, "a"), tmp_path)


def test_the_command(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["a"] = Served()
    demo = entry(
        OfficialFile("demo/file.bin", (server.url("a"),)), OfficialFile("demo/b.bin", (server.url("b"),))
    )
    monkeypatch.setitem(DATASETS, "demo", demo)
    command = ["data", "fetch", "demo", "--root", str(tmp_path / "new")]
    assert main([*command, "--file", "file.bin"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"fetched  {target(tmp_path / 'new')}  10,240 bytes\n", "")
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["present", "failed"]
    assert len(err.splitlines()) == 1
    assert "HTTP 404" in err
    assert main([*command, "--file", "nonesuch"]) == 2
    monkeypatch.delenv("TRIVALENT_DATA", raising=False)
    assert main(command[:3]) == 1
    assert "give --root DIR or set TRIVALENT_DATA" in capsys.readouterr().err
