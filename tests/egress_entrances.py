"""What a visitor does at every entrance of the program, inside a closed network (`closed_network`)."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from closed_network import WORK

if TYPE_CHECKING:
    from closed_network import Sandbox

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("TRIVALENT_DATA", REPOSITORY.parent / "shared" / "data"))
REST_S = 30.0  # the former telemetry left 11 to 25 s after the start
DONE_S = 240.0  # a busy machine takes long; the limit is only there to end a test that hangs
SAMPLE = REPOSITORY / "src" / "trivalent" / "data" / "samples" / "sample.mp4"

TRIES_TO_LEAVE = """
import os, pathlib, socket, subprocess, urllib.request
for address in ("statistics.example", "198.51.100.7", "[2001:db8::7]"):
    try:
        urllib.request.urlopen(f"https://{address}/", timeout=2)
    except OSError:
        pass
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"device 7", ("198.51.100.8", 9999))
for file in ("~/.cache/device/id", "/var/tmp/queue", os.environ["TMPDIR"] + "/left", "/dev/shm/left"):
    path = pathlib.Path(file).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("7")
pathlib.Path("/etc/hostname").unlink()
subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""

SUBMIT = """
from pathlib import Path
from trivalent.core.settings import Settings
from trivalent.store import open_store
store = open_store(Settings())
store.jobs.submit(store.accounts.local_user(), "sample.mp4", Path("sample.mp4"))
store.close()
"""

ALL_DONE = f"""
import time
from trivalent.core.settings import Settings
from trivalent.store import JobState, open_store
store, until = open_store(Settings()), time.monotonic() + {DONE_S}
while store.jobs.counts()[JobState.DONE] != 1 and time.monotonic() < until:
    time.sleep(0.5)
assert store.jobs.counts()[JobState.DONE] == 1, store.jobs.counts()
store.close()
"""

LOADS_AND_WAITS = """
import sys, time, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
time.sleep(35)
"""


def control(sandbox: Sandbox) -> None:
    """A program that does all that must not be done."""
    sandbox.python(TRIES_TO_LEAVE)


def onnxruntime_alone(sandbox: Sandbox) -> None:
    """The library as it is without what `trivalent.core.offline` sets."""
    graph = next((REPOSITORY / "src" / "trivalent" / "data" / "bundles").rglob("*.onnx"))
    sandbox.python(LOADS_AND_WAITS, str(graph))


def analyze(sandbox: Sandbox) -> None:
    """A video with all its documents, and a text."""
    sandbox.run("analyze", str(SAMPLE), "--html", "report.html", "--csv", "words.csv")
    sandbox.run("analyze", "--text", "I love how this turned out.")


def batch(sandbox: Sandbox, *options: str) -> None:
    """A folder with a video and texts, by two workers."""
    folder = sandbox.inside(WORK) / "in"
    folder.mkdir()
    shutil.copy(SAMPLE, folder)
    for i in range(4):
        (folder / f"{i}.txt").write_text("It was not good at all.")
    sandbox.run("batch", "in", "-o", "out", "--texts", "--workers", "2", *options)


def batch_ray(sandbox: Sandbox) -> None:
    """The same by Ray."""
    batch(sandbox, "--engine", "ray")


def serve(sandbox: Sandbox) -> None:
    """A text, a video, the pages that describe the service, and half a minute of rest."""
    url = "http://127.0.0.1:8000"
    with (
        sandbox.server("serve", url=url),
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        for path in ("/docs", "/openapi.json", "/metrics", "/readyz"):
            client.get(path)
        client.post("/v1/analyses", json={"text": "I love it."}).raise_for_status()
        files = {"file": ("sample.mp4", SAMPLE.read_bytes())}
        job = client.post("/v1/analyses", files=files).raise_for_status().json()["id"]
        time.sleep(REST_S)
        until = time.monotonic() + DONE_S
        while (state := client.get(f"/v1/jobs/{job}").json()["state"]) in ("queued", "running"):
            assert time.monotonic() < until, state
            time.sleep(0.5)
        assert state == "done", state


def app(sandbox: Sandbox) -> None:
    """Every page, with a video in the queue, and half a minute of rest."""
    from app_socket import visitor

    url = "http://127.0.0.1:8501"
    shutil.copy(SAMPLE, sandbox.inside(WORK) / "sample.mp4")
    sandbox.python(SUBMIT)
    with sandbox.server("app", "--no-browser", url=url), visitor(url) as someone:
        for page in ("", "batch", "history", "compare", "models", "data", "benchmarks", "guide", "account"):
            someone.open(page)
        time.sleep(REST_S)
        sandbox.python(ALL_DONE)


def train(sandbox: Sandbox) -> None:
    """A recipe with figures, and its evaluation."""
    recipe, few = REPOSITORY / "recipes" / "concatenation.yaml", ("--set", "training.epochs=2")
    sandbox.run("train", str(recipe), "-o", "trained", *few, "--set", "seeds=[0]", "--root", str(DATA))
