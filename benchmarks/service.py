"""Load on `trivalent serve` over loopback: texts per second, latency, memory, a full queue.

Usage: python benchmarks/service.py [--requests 2000] [--recordings 30] [-o DIR]

Writes results/service.*. The client runs on the same processors as the server. Every text is
analysed and written to an SQLite history on disk before it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from results_file import FOLDER, Result

CONCURRENCY = (1, 8, 32)
WARM_UP = 50
QUEUE_LIMIT = 5
SUBMITTERS = 8
SENTENCES = (
    "I was not sure about it at first, but I really like how this turned out in the end.",
    "The food was cold.",
    "It arrived on Tuesday in a brown box, as the letter had said it would.",
    "Nothing works, nobody answers, and I want my money back.",
    "A wonderful evening with people whom I had not seen for years; I would go again at once.",
    "They changed the opening hours.",
)
OPTIONS = '{"modalities": ["text", "audio"], "transcript": "All is well."}'


@dataclass
class Server:
    """A running `trivalent serve`."""

    process: subprocess.Popen[str]
    host: str
    port: int

    def memory_mb(self) -> float:
        """Resident memory in MB (1e6 bytes)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """Start a server over an empty history; end it by SIGTERM."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "trivalent.cli.main", "serve", "--port", "0", "--home", folder]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log, text=True)
            assert process.stdout is not None
            found = re.search(r"http://(\S+?):(\d+)", process.stdout.readline())
            assert found, "the server did not start"
            try:
                yield Server(process, found[1], int(found[2]))
            finally:
                process.terminate()
                process.wait(60)
                process.stdout.close()


class Connection:
    """A connection that stays open; little more than the socket, so that the client costs little."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection(self.server.host, self.server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; returns status, headers and body."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))


def text_body(number: int) -> bytes:
    """Return a request of its own: lengths vary, no text comes twice."""
    chosen = SENTENCES[number % len(SENTENCES) :][: 1 + number % 3]
    return json.dumps({"text": f"{' '.join(chosen)} Number {number}."}).encode()


async def texts(server: Server, count: int, *, concurrency: int) -> list[float]:
    """Have texts analysed by some clients at a time; returns the seconds of each."""
    numbers, spent = iter(range(count)), []

    async def client() -> None:
        async with Connection(server) as connection:
            for number in numbers:
                start = time.perf_counter()
                status, _, _ = await connection.ask("POST", "/v1/analyses", text_body(number))
                spent.append(time.perf_counter() - start)
                assert status == 201, status

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return spent


def measure_texts(result: Result, requests: int) -> None:
    """One row for each number of clients at a time, in one server."""
    with running() as server:
        asyncio.run(texts(server, WARM_UP, concurrency=2))
        for concurrency in CONCURRENCY:
            before, start = server.memory_mb(), time.perf_counter()
            spent = asyncio.run(texts(server, requests, concurrency=concurrency))
            seconds = time.perf_counter() - start
            cuts = statistics.quantiles(spent, n=100)
            result.add(
                f"texts, {concurrency} at a time, {requests:,} requests",
                texts_per_second=requests / seconds,
                p50_ms=cuts[49] * 1e3,
                p95_ms=cuts[94] * 1e3,
                rss_before_mb=before,
                rss_after_mb=server.memory_mb(),
            )


def recording(path: Path) -> bytes:
    """Write a second of tone."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
        file.writeframes((16000 * tone).astype("<i2").tobytes())
    return path.read_bytes()


def upload(sound: bytes, number: int) -> bytes:
    """Lay a multipart form out."""
    head = 'Content-Disposition: form-data; name="{}"'
    return (
        f"--b\r\n{head.format('options')}\r\n\r\n{OPTIONS}\r\n"
        f'--b\r\n{head.format("file")}; filename="take {number}.wav"\r\n\r\n'
    ).encode() + (sound + b"\r\n--b--\r\n")


async def flood(server: Server, sound: bytes, count: int) -> tuple[Counter[str], list[str]]:
    """Send recordings without waiting for any; returns what was answered and the ids of the jobs."""
    numbers, answers, ids = iter(range(count)), Counter[str](), []

    async def client() -> None:
        async with Connection(server) as connection:
            for number in numbers:
                status, headers, body = await connection.ask(
                    "POST", "/v1/analyses", upload(sound, number), "multipart/form-data; boundary=b"
                )
                answers[str(status)] += 1
                answers["with Retry-After"] += status == 503 and headers["retry-after"].isdecimal()
                if status == 202:
                    ids.append(json.loads(body)["id"])

    await asyncio.gather(*(client() for _ in range(SUBMITTERS)))
    return answers, ids


async def finished(server: Server, ids: list[str]) -> list[str]:
    """Wait for jobs to end; returns the ids of their analyses."""
    async with Connection(server) as connection:
        left, found = list(ids), []
        while left:
            job = json.loads((await connection.ask("GET", f"/v1/jobs/{left[-1]}"))[2])
            if job["state"] in ("queued", "running"):
                await asyncio.sleep(0.2)
                continue
            left.pop()
            found += [job["analysis_id"]] if job["state"] == "done" else []
        page = json.loads((await connection.ask("GET", "/v1/analyses?limit=500"))[2])
        assert {item["id"] for item in page["items"]} == set(found)
        return found


def measure_queue(result: Result, recordings: int) -> None:
    """Send more than the queue takes, then see what became of all that it took."""
    with tempfile.TemporaryDirectory() as folder, running("--queue-limit", str(QUEUE_LIMIT)) as server:
        start = time.perf_counter()
        answers, ids = asyncio.run(flood(server, recording(Path(folder) / "tone.wav"), recordings))
        found = asyncio.run(finished(server, ids))
        result.add(
            f"{recordings} recordings of 1 s at once, queue of {QUEUE_LIMIT}",
            accepted=answers["202"],
            refused_503=answers["503"],
            with_retry_after=answers["with Retry-After"],
            other_answers=recordings - answers["202"] - answers["503"],
            finished=len(found),
            lost=len(ids) - len(found),
            twice=len(found) - len(set(found)),
            seconds=time.perf_counter() - start,
        )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, metavar="N", help="texts per row (2000)")
    parser.add_argument("--recordings", type=int, default=30, metavar="N", help="for the full queue (30)")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="DIR", help="results/")
    arguments = parser.parse_args()
    result = Result("service", "texts of one to three sentences, each another; a tone of 440 Hz")
    measure_texts(result, arguments.requests)
    measure_queue(result, arguments.recordings)
    result.caveats += [
        "Wall-clock time of a client on the same machine as the server: the two share its cores.",
        "A text is answered when its analysis is written to the history (SQLite, on disk).",
        "RSS is that of the server's process; recordings are analysed in a child process of its own.",
    ]
    for path in result.write(arguments.output):
        print(path)


if __name__ == "__main__":
    main()
