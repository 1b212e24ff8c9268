"""Nothing leaves the machine, and nothing is written but where it was asked for, by any entrance."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from attack_log import Attack
from closed_network import HOME, TEMP, WORK, ImpossibleError, Seen, watch
from conftest import data_root

# What a command may leave in a fresh account besides its output in the working directory.
HISTORY = rf"{HOME}/\.local(/share(/trivalent(/.*)?)?)?"
CACHE = rf"{HOME}/\.(cache|config)(/(matplotlib|trivalent)(/.*)?)?"  # fonts for figures; torch's folder
ENTRANCES = {
    "analyze": (),
    "batch": (),
    "batch_ray": (),
    "serve": (HISTORY,),
    "app": (HISTORY,),
    "train": (CACHE,),
}
RESTS = ("onnxruntime_alone", "serve", "app")  # more than half a minute each
NEEDS = {"batch_ray": "ray", "serve": "fastapi", "app": "streamlit", "train": "torch"}


def absent(entrance: str) -> str:
    """What an entrance needs and is not there."""
    if (package := NEEDS.get(entrance)) and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if entrance == "train" and not data_root().is_dir():
        return f"no real data at {data_root()}; set TRIVALENT_DATA"
    return ""


@pytest.fixture(scope="module")
def seen_at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Seen]]:
    """Give what an entrance tried to send and what it wrote; skipped where that cannot be watched.

    Three are watched at a time, each in namespaces and on a disk of its own, first those that mostly rest.
    """
    asked = [
        item.callspec.params.get("entrance") for item in request.session.items if item.path == request.path
    ]
    with ThreadPoolExecutor(3) as pool:
        watched = {
            name: pool.submit(watch, name, tmp_path_factory.mktemp(name) / "disk")
            for name in sorted(filter(None, asked), key=lambda name: name not in RESTS)
            if not absent(name)
        }

        def seen(entrance: str) -> Seen:
            if reason := absent(entrance):
                pytest.skip(reason)
            try:
                return watched[entrance].result()
            except ImpossibleError as error:
                pytest.skip(f"no closed network on this machine: {error}")

        yield seen


@pytest.mark.finding(1)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_nothing_leaves(attack: Attack, entrance: str, seen_at: Callable[[str], Seen]) -> None:
    seen = seen_at(entrance)
    assert not seen.lost_packets
    for what in seen.sent or ["to send anything"]:
        attack.attempt(what, withstood=not seen.sent)
    stray = seen.files_outside(rf"{WORK}/.*", *ENTRANCES[entrance])
    for what in stray or ["to write elsewhere"]:
        attack.attempt(what, withstood=not stray)
    attack.attempt(f"to leave {seen.shared_memory} in memory", withstood=not seen.shared_memory)
    attack.attempt(f"to go on running: {seen.processes}", withstood=not seen.processes)


@pytest.mark.parametrize("entrance", ["control"])
def test_the_watch_sees_what_it_is_for(entrance: str, seen_at: Callable[[str], Seen]) -> None:
    seen = seen_at(entrance)
    assert seen.names == ["statistics.example"]
    assert any("TLS greeting to statistics.example" in c for c in seen.connections)
    for packet in (
        "198.51.100.7 port 443 (TCP)",
        "2001:db8::7 port 443 (TCP)",
        "198.51.100.8 port 9999 (UDP)",
    ):
        assert packet in seen.packets
    written = (f"{HOME}/.cache/device/id", f"{TEMP}/left", "/var/tmp/queue", "- /etc/hostname")
    assert set(written) <= set(seen.files_outside(rf"{WORK}/.*"))
    assert seen.shared_memory == ["left"]
    assert seen.processes


@pytest.mark.parametrize("entrance", ["onnxruntime_alone"])
def test_the_watch_sees_what_onnxruntime_does_if_it_may(
    entrance: str, seen_at: Callable[[str], Seen]
) -> None:
    seen = seen_at(entrance)
    if not seen.sent:
        pytest.skip("this onnxruntime sends nothing by itself")
    assert any("deviceid" in file for file in seen.files)


@pytest.mark.finding(1)
@pytest.mark.parametrize(
    "module",
    [
        "trivalent.cli.main",
        "trivalent.work.child",
        "trivalent.bundle.trial",
        "trivalent.work.batch",
        "trivalent.lab",
    ],
)
def test_reports_are_off_before_any_dependency_is_there(attack: Attack, module: str) -> None:
    code = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "huggingface_hub", "ray", "streamlit", "fastapi", "torch"):
            assert os.environ.get("ORT_DISABLE_TELEMETRY") == "1", name
sys.meta_path.insert(0, Watch())
import {module}
from trivalent.core.offline import QUIET
sys.exit(any(os.environ[name] != value for name, value in QUIET.items()))
"""
    # what somebody allowed in general was not allowed for the recordings that are analysed here
    allowed = os.environ | {
        "ORT_DISABLE_TELEMETRY": "0",
        "RAY_USAGE_STATS_ENABLED": "1",
        "DO_NOT_TRACK": "0",
    }
    done = subprocess.run([sys.executable, "-c", code], env=allowed, capture_output=True, check=False)
    attack.attempt(f"{module}: {done.stderr.decode()[-300:]}", withstood=done.returncode == 0)
