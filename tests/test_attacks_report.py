"""Texts and recordings of any length give a page of bounded size, in bounded memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import analyses
from attack_log import Attack, resident_mb
from trivalent.core.analysis import Analysis, KeyFrame, Track
from trivalent.report import writers as report

pytestmark = pytest.mark.finding(7)
MOST_BYTES = 3_000_000


def texts(n: int, words: str) -> Analysis:
    one = analyses.text()
    return replace(one, utterances=tuple(replace(one.utterances[0], index=i, text=words) for i in range(n)))


def recording(n: int, words: str) -> Analysis:
    """The most that a recording can bring: words, curves and pictures."""
    long = analyses.long(n)
    times = np.linspace(0.0, 4.0 * n, 6000)
    tracks = tuple(
        Track(name, unit, times, 100 + 50 * np.sin(times))
        for name, unit in (("F0", "Hz"), ("energy", "dB"))
    )
    frames = tuple(KeyFrame(4.0 * i, i, os.urandom(12_000), {}) for i in range(24))
    return replace(
        long,
        utterances=tuple(replace(u, text=words) for u in long.utterances),
        tracks=tracks,
        keyframes=frames,
    )


INPUTS: dict[str, Callable[[], Analysis]] = {
    "40,000 characters": lambda: texts(13_334, "So."),
    "200,000 characters": lambda: texts(66_667, "So."),
    "a sentence of a million signs": lambda: texts(3, '"<&' * 333_333),
    "a hundred of them": lambda: texts(100, '"<&' * 33_333),
    "an hour of talk": lambda: recording(900, "It was a long day, and we were glad when it was over."),
    "a day of talk": lambda: recording(20_000, "So."),
    "a day of signs": lambda: recording(5_000, '"<&\U0001f600' * 400),
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_report_is_bounded(name: str, attack: Attack) -> None:
    page = report.to_html([INPUTS[name]()], card=analyses.CARD)
    attack.attempt(f"{name}: {len(page.encode()):,} bytes", withstood=len(page.encode()) <= MOST_BYTES)
    links = set(re.findall(r'href="#([^"]+)"', page))
    anchors = set(re.findall(r' id="([^"]+)"', page))
    attack.attempt(f"dead links {sorted(links - anchors)[:3]}", withstood=links <= anchors)


def test_an_hour_of_talk_is_still_all_there() -> None:
    """What is folded loses its evidence, not its words."""
    page = report.to_html([INPUTS["an hour of talk"]()])
    assert page.count('<span class="tv-said"') == 900
    assert "left out here" not in page


def test_what_is_folded_is_told() -> None:
    page = report.to_html([INPUTS["200,000 characters"]()])
    counted = sum(int(n) for n in re.findall(r"(\d+) sentences? left out here", page))
    shown = page.count('<li class="tv-u ')
    assert counted + shown == 66_667
    assert "The JSON and the CSV hold everything" in page


def test_twelve_at_once(attack: Attack) -> None:
    """In threads of one process, as a server makes them."""
    script = (
        "import sys, threading; sys.path.insert(0, 'tests')\n"
        "from test_attacks_report import INPUTS; from trivalent.report import writers as report\n"
        "one = INPUTS['40,000 characters'](); print('ready', flush=True); pages = []\n"
        "work = lambda: pages.append(report.to_html([one]))\n"
        "threads = [threading.Thread(target=work) for _ in range(12)]\n"
        "sys.stdin.readline(); [t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(len(pages), flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    before = resident_mb(process.pid)
    with attack.watch(process.pid):
        process.stdin.write("\n")
        process.stdin.flush()
        made = process.stdout.readline()
    process.communicate("\n")
    grown = (attack.peak_mb or 0.0) - before
    attack.attempt(f"grew by {grown:.0f} MB", withstood=made == "12\n" and grown < 250)
