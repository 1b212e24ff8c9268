"""Nothing leaves the machine, and nothing is written but where it was asked for, by any entrance."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

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
NEEDS = {"batch_ray": "ray", "serve": "fastapi", "app": "streamlit", "train": "torch"}


def seen_at(entrance: str, folder: Path) -> Seen:
    """What an entrance tried to send and what it wrote; skipped where that cannot be watched."""
    if (package := NEEDS.get(entrance)) and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if entrance == "train" and not data_root().is_dir():
        pytest.skip(f"no real data at {data_root()}; set TRIVALENT_DATA")
    try:
        return watch(entrance, folder)
    except ImpossibleError as error:
        pytest.skip(f"no closed network on this machine: {error}")


@pytest.mark.finding(1)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_nothing_leaves(attack: Attack, entrance: str, tmp_path: Path) -> None:
    seen = seen_at(entrance, tmp_path / "disk")
    assert not seen.lost_packets
    for what in seen.sent or ["to send anything"]:
        attack.attempt(what, withstood=not seen.sent)
    stray = seen.files_outside(rf"{WORK}/.*", *ENTRANCES[entrance])
    for what in stray or ["to write elsewhere"]:
        attack.attempt(what, withstood=not stray)
    attack.attempt(f"to leave {seen.shared_memory} in memory", withstood=not seen.shared_memory)
    attack.attempt(f"to go on running: {seen.processes}", withstood=not seen.processes)


def test_the_watch_sees_what_it_is_for(tmp_path: Path) -> None:
    seen = seen_at("control", tmp_path / "disk")
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


def test_the_watch_sees_what_onnxruntime_does_if_it_may(tmp_path: Path) -> None:
    seen = seen_at("onnxruntime_alone", tmp_path / "disk")
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
