"""The real app in a real browser: what people click, and what they see then.

Screenshots are left in `build/screenshots`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import REPOSITORY
from service_tools import clip
from store_samples import a_home
from trivalent.core.assets import DATA
from web_server import chromium, running

pytest.importorskip("streamlit", reason="the extra app is not installed")
from web_runs import Runs

SAMPLE = DATA / "samples" / "sample.mp4"
SHOTS = REPOSITORY / "build" / "screenshots"
DONE_MS = 90_000
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def app(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("app") / "home") as address:
        yield address


@pytest.fixture(scope="module")
def app_with_accounts(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = a_home(tmp_path_factory.mktemp("accounts") / "home", "ada", "bob", password=PASSWORD)
    with running(home, "--auth", "local") as address:
        yield address


class Visit:
    """One visitor, and everything that their browser asked for."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        options = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options}
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.runs = Runs(self.page)
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda r: self._asked(r.url, address))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.goto(address)

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith((address, address.replace("http", "ws"), "blob:", "data:")):
            self.elsewhere.append(url)

    def shot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        size = self.page.viewport_size
        height = self.page.evaluate("document.querySelector('.stMain')?.scrollHeight ?? 0")
        self.page.set_viewport_size({**size, "height": max(size["height"], int(height))})
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=SHOTS / f"{name}.png")
        self.page.set_viewport_size(size)

    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.querySelector('.stMain').scrollWidth - window.innerWidth"))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def analyse_sample(page: Any) -> None:
    """Two clicks from the open page to the analysed clip."""
    page.get_by_role("tab", name="File").click()
    page.get_by_role("button", name="Analyze the sample clip").click()
    page.locator(".tv-u").first.wait_for(timeout=DONE_MS)


def analyse_text(page: Any, text: str) -> None:
    page.get_by_label("English text").fill(text)
    page.get_by_role("button", name="Analyze", exact=True).first.click()
    page.locator(".tv-u").first.wait_for(timeout=DONE_MS)


def test_the_sample_is_analysed_in_two_clicks_and_decided_again(browser: Any, app: str) -> None:
    with Visit(browser, app) as visit:
        page = visit.page
        page.get_by_role("tab", name="File").click()
        page.get_by_role("button", name="Analyze the sample clip").click()
        page.locator(".tv-steps .tv-at").wait_for()
        visit.shot("working")
        page.locator(".tv-u").first.wait_for(timeout=DONE_MS)
        page.wait_for_function("document.querySelector('video')?.readyState >= 1")

        # choosing an utterance seeks the player, opens its evidence and explains its words
        second = page.locator(".tv-u").nth(1)
        start = float(second.get_attribute("data-start"))
        second.locator("summary").click()
        second.locator(".tv-words .tv-word-map").wait_for()
        assert abs(page.evaluate("document.querySelector('video').currentTime") - start) < 0.1
        assert page.locator(".tv-u.tv-now").get_attribute("data-u") == "1"
        assert page.locator(".tv-playhead").is_visible()

        # so does the keyboard on the timeline
        page.locator(".tv-block[tabindex]").last.focus()
        page.keyboard.press("Enter")
        last = float(page.locator(".tv-u").last.get_attribute("data-start"))
        page.wait_for_function(
            "t => Math.abs(document.querySelector('video').currentTime - t) < .1", arg=last
        )
        visit.shot("result")

        # the keyboard moves a threshold; the verdict follows, the player keeps its place
        page.locator(".tv-verdict .tv-headline", has_text="Mixed").wait_for()
        slider = page.get_by_role("slider", name="Threshold − negative")
        slider.focus()
        slider.press("Home")
        page.locator(".tv-verdict .tv-headline", has_text="Negative").wait_for()
        assert page.evaluate("document.querySelector('video').currentTime") > last - 0.1
        with page.expect_download() as download:
            page.get_by_role("button", name="JSON").click()
        document = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        assert document["overall"]["label"] == "negative"
        assert download.value.suggested_filename == "sample.json"
        page.get_by_role("button", name="Reset").click()
        page.locator(".tv-verdict .tv-headline", has_text="Mixed").wait_for()

        # the address leads back here, with the recording that was kept
        page.reload()
        page.locator(".tv-u").first.wait_for()
        page.wait_for_function("document.querySelector('video')?.readyState >= 1")
        assert visit.elsewhere == []
        assert visit.complaints == []


def test_both_languages_and_both_themes(browser: Any, app: str) -> None:
    with Visit(browser, app, color_scheme="dark") as visit:
        page = visit.page
        analyse_text(page, "I was sceptical at first, but this is a joy to use.")
        dark = page.evaluate("getComputedStyle(document.querySelector('.tv-card')).backgroundColor")
        page.get_by_text("简体中文").click()
        page.locator(".tv-verdict .tv-headline", has_text="积极").wait_for()
        page.get_by_role("button", name="新建分析").wait_for()
        visit.shot("chinese-dark")
        page.reload()
        page.locator(".tv-verdict .tv-headline", has_text="积极").wait_for()
        page.emulate_media(color_scheme="light")
        page.reload()
        page.locator(".tv-card").first.wait_for()
        assert page.evaluate("getComputedStyle(document.querySelector('.tv-card')).backgroundColor") != dark
        page.wait_for_function("document.documentElement.lang === 'zh-Hans'")


def test_an_upload_that_is_not_kept_plays_only_while_the_page_is_open(browser: Any, app: str) -> None:
    with Visit(browser, app) as visit:
        page = visit.page
        page.get_by_role("tab", name="File").click()
        page.locator("input[type=file]").first.set_input_files(SAMPLE)
        page.get_by_text("sample.mp4").wait_for()
        page.get_by_role("button", name="Analyze", exact=True).last.click()
        page.locator(".tv-u").first.wait_for(timeout=DONE_MS)
        page.wait_for_function("document.querySelector('video')?.readyState >= 1")
        assert page.locator(".tv-frame").count() > 0
        page.reload()
        page.locator(".tv-u").first.wait_for()
        assert page.locator(".tv-frame").count() == 0
        assert page.locator("video").count() == 0
        assert page.locator(".tv-tracks").is_visible()


def test_a_job_can_be_left_found_again_and_cancelled(browser: Any, app: str, tmp_path: Path) -> None:
    long = clip(tmp_path / "long.wav", seconds=600)  # it must not be done before it is looked for
    with Visit(browser, app) as visit:
        page = visit.page
        page.get_by_role("tab", name="File").click()
        page.locator("input[type=file]").first.set_input_files(str(long))
        page.get_by_text("long.wav").wait_for()
        page.get_by_role("button", name="Analyze", exact=True).last.click()
        page.get_by_role("button", name="Analyze something else meanwhile").click()
        page.get_by_role("button", name="Show progress").click()
        page.locator(".tv-steps").wait_for()
        page.reload()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("was cancelled").wait_for()


def test_characters_are_counted_while_somebody_types(browser: Any, app: str) -> None:
    with Visit(browser, app) as visit:
        field = visit.page.get_by_label("English text")
        field.press_sequentially("Fine 😀 day")
        visit.page.get_by_text("10 of 200,000 characters, 3 words").wait_for()


def test_the_camera_records_with_sound(browser: Any, app: str) -> None:
    with Visit(browser, app, permissions=["camera", "microphone"]) as visit:
        page = visit.page
        page.get_by_role("tab", name="Record").click()
        page.get_by_text("Camera and sound").click()
        page.get_by_role("button", name="Start recording").click()
        page.locator(".tv-clock", has_text="0:02").wait_for()
        visit.shot("recording")
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Discard").click()
        page.get_by_role("button", name="Start recording").click()
        page.locator(".tv-clock", has_text="0:02").wait_for()
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Analyze this recording").click()
        page.locator(".tv-verdict").wait_for(timeout=DONE_MS)
        assert page.get_by_role("heading", name="Recording.webm").is_visible()


def test_the_microphone_records(browser: Any, app: str) -> None:
    with Visit(browser, app, permissions=["microphone"]) as visit:
        page = visit.page
        page.get_by_role("tab", name="Record").click()
        microphone = page.get_by_test_id("stAudioInput").get_by_role("button").last
        microphone.click()
        page.get_by_role("button", name="Stop recording").wait_for()
        page.wait_for_timeout(1500)
        microphone.click()
        page.get_by_role("button", name="Analyze", exact=True).last.click()
        page.locator(".tv-verdict").wait_for(timeout=DONE_MS)
        assert page.get_by_role("heading", name="Recording.wav").is_visible()
        page.locator("audio").wait_for(state="attached")  # drawn after the verdict
        assert page.locator("audio").count() == 1
        assert visit.complaints == []


def test_a_camera_that_may_not_be_used_is_explained(browser: Any, app: str) -> None:
    with Visit(browser, app) as visit:
        page = visit.page
        page.evaluate(
            "() => { navigator.mediaDevices.getUserMedia = "
            "() => Promise.reject(new DOMException('', 'NotAllowedError')); }"
        )
        page.get_by_role("tab", name="Record").click()
        page.get_by_text("Camera and sound").click()
        page.get_by_role("button", name="Start recording").click()
        page.get_by_text("may not use the camera").wait_for()


@pytest.mark.parametrize("width", [380, 1600])
def test_nothing_is_wider_than_the_window(browser: Any, app: str, width: int) -> None:
    with Visit(browser, app, viewport={"width": width, "height": 800}) as visit:
        page = visit.page
        page.get_by_role("heading", name="Analyze").wait_for()
        for tab in ("File", "Record", "Text"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
            assert visit.overflow() <= 0, tab
        analyse_text(
            page, "The acting is superb. But the plot makes no sense at all, and it is far too long."
        )
        page.locator(".tv-words .tv-word-map").wait_for()
        assert visit.overflow() <= 0
        visit.shot(f"text-{width}")


def log_in(page: Any, name: str) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Analyze").wait_for()


def test_two_users_do_not_see_each_other(browser: Any, app_with_accounts: str) -> None:
    with Visit(browser, app_with_accounts) as ada, Visit(browser, app_with_accounts) as bob:
        ada.page.get_by_label("User name").wait_for()
        ada.shot("login")
        log_in(ada.page, "ada")
        analyse_text(ada.page, "A secret joy that only Ada knows.")
        secret = ada.page.url
        log_in(bob.page, "bob")
        bob.page.goto(secret)
        bob.page.get_by_text("not there any more").wait_for()
        assert bob.page.get_by_text("only Ada knows").count() == 0
        for visit in (bob, ada):
            visit.page.goto(f"{app_with_accounts}/history")
            visit.page.get_by_role("heading", name="History").wait_for()
            visit.runs.settle()
        ada.page.get_by_text("only Ada knows").first.wait_for(state="attached")
        assert bob.page.get_by_text("only Ada knows").count() == 0

        cookie = next(c for c in ada.context.cookies() if c["name"] == "trivalent_session")
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        ada.page.get_by_role("button", name="Log out").click()
        ada.page.get_by_label("User name").wait_for()
        ada.page.wait_for_function("!document.querySelector('.tv-result')")
        # the token is void, not only forgotten
        ada.context.add_cookies([cookie])
        ada.page.goto(secret)
        ada.page.get_by_label("User name").wait_for()
