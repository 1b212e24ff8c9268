"""Make the pictures of the app in docs/images from the real app with the sample analysed.

Usage: python tools/screenshots.py [FOLDER [NETWORK]]

NETWORK is the bundle of an attention network; without it the pictures of one are left as they are.

Needs `pip install 'trivalent[app]' playwright` and a Chromium on the PATH.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
START_S, ANALYSIS_MS = 60, 120_000


@dataclass(frozen=True)
class Shot:
    """One picture: who looks, and at what."""

    name: str
    width: int
    height: int
    theme: str = "light"
    locale: str = "en-US"
    scale: float = 1.0
    open_utterance: int | None = None


SHOTS = (
    Shot("app-light", 1440, 1000),
    Shot("app-dark", 1440, 1000, theme="dark", open_utterance=1),
    Shot("app-chinese", 1440, 1000, locale="zh-CN"),
    Shot("app-phone", 380, 820, scale=2.0),
)
OF_NETWORK = (Shot("app-network", 1280, 770, open_utterance=1),)


@contextmanager
def app(home: Path, *, model: str = "default") -> Iterator[str]:
    """Run the app on a free port; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "trivalent.cli.main", "app", "--home", str(home), "--port", str(port)]
    command += ["--model", model]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIVALENT_")}
    server = subprocess.Popen([*command, "--no-browser"], env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(START_S * 10):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def analyse_sample(browser: Browser, address: str) -> str:
    """Analyse the clip as a visitor would; returns the address of the result."""
    page = browser.new_page(locale="en-US")
    page.goto(address)
    page.get_by_role("tab", name="File").click()
    page.get_by_role("button", name="Analyze the sample clip").click()
    page.locator(".tv-u").first.wait_for(timeout=ANALYSIS_MS)
    page.wait_for_url("**record=*")
    found = page.url
    page.close()
    return found


def take(browser: Browser, address: str, shot: Shot, folder: Path) -> None:
    """Look at the result and save what is seen."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.theme == "dark" else "light",
        locale=shot.locale,
        device_scale_factor=shot.scale,
    )
    page = context.new_page()
    page.goto(address)
    page.locator(".tv-u").first.wait_for()
    page.wait_for_function("document.querySelector('video')?.readyState >= 2")
    show_moment(page, shot)
    page.wait_for_timeout(1500)  # fonts, and what still moves
    page.screenshot(path=folder / f"{shot.name}.png")
    context.close()


def show_moment(page: Page, shot: Shot) -> None:
    """Choose an utterance, or just stop the player in the middle of the first."""
    if shot.open_utterance is None:
        page.evaluate("document.querySelector('video').currentTime = 0.8")
        return
    chosen = page.locator(".tv-u").nth(shot.open_utterance)
    chosen.locator("> details > summary").click()
    if shot in OF_NETWORK:
        chosen.locator(".tv-heads > summary").click()
        page.evaluate("document.querySelector('.tv-transcript').scrollIntoView({block: 'start'})")
        return
    page.locator(".tv-word-map").first.wait_for()
    page.evaluate("document.querySelector('.tv-watch').scrollIntoView({block: 'start'})")


def main() -> None:
    """Make all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("expected Chromium on the PATH, found none; install it")
    wanted = {"default": SHOTS} | {network: OF_NETWORK for network in sys.argv[2:]}
    for model, shots in wanted.items():
        with tempfile.TemporaryDirectory() as home, app(Path(home), model=model) as address:
            make(address, shots, program=program, folder=folder)


def make(address: str, shots: Sequence[Shot], *, program: str, folder: Path) -> None:
    """Analyse the clip with the model of an app and take its pictures."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        result = analyse_sample(browser, address)
        for shot in shots:
            take(browser, result, shot, folder)
            print(folder / f"{shot.name}.png")
        browser.close()


if __name__ == "__main__":
    main()
