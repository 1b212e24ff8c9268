"""A network in the real app: uploaded, chosen, asked about a recording, and what its result shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundles import zip_bundle
from recording_networks import HEADS, recording_bundle
from web_server import chromium, running

pytest.importorskip("streamlit", reason="the extra app is not installed")
from test_web_browser import Visit, analyse_sample


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_from_an_upload_to_what_was_read(browser: Any, tmp_path: Path) -> None:
    archive = zip_bundle(recording_bundle(tmp_path / "b"), tmp_path / "b.zip")
    with running(tmp_path / "home") as address, Visit(browser, address) as visit:
        page = visit.page
        page.get_by_role("link", name="Models").click()
        visit.runs.settle()
        page.locator("input[type=file]").set_input_files(str(archive))
        page.get_by_text("b.zip").wait_for()
        page.get_by_role("button", name="Check and add").click()
        page.get_by_text("Added joined, version 1").wait_for()
        visit.runs.settle()
        page.locator(".st-key-use-joined button").click()
        page.get_by_text("New analyses of this session use joined").wait_for()
        visit.runs.settle()
        page.get_by_role("link", name="Analyze").click()
        visit.runs.settle()
        analyse_sample(page)
        page.wait_for_function("document.querySelector('video')?.readyState >= 1")
        visit.runs.settle()

        # what was read lies in the evidence; opening it leaves the player where it is
        second = page.locator(".tv-u").nth(1)
        second.locator("> details > summary").click()
        page.evaluate("document.querySelector('video').currentTime = 0.5")
        second.locator(".tv-heads > summary").click()
        assert second.locator(".tv-heads tbody tr").count() == HEADS
        assert second.locator(".tv-attention").get_by_text("not what decided").is_visible()
        assert page.evaluate("document.querySelector('video').currentTime") < 0.6
        assert page.locator(".tv-words").count() == 0
        visit.shot("network")

        # without the voice nobody knows what was read, and nothing is shown of it
        page.get_by_test_id("stButtonGroup").get_by_text("Voice").click()
        page.get_by_text("Decided with your settings").wait_for()
        visit.runs.settle()
        assert page.locator(".tv-attention").count() == 1, "the last utterance had too little of a voice"
        page.get_by_role("button", name="Reset").click()
        page.locator(".tv-attention").first.wait_for(state="attached")
        assert visit.overflow() <= 0
        assert visit.elsewhere == []
        assert visit.complaints == []
