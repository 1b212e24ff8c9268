"""History, batches and the library in a real browser, in both languages, narrow and wide."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

import analyses
from bundles import write_bundle, zip_bundle
from conftest import REPOSITORY
from trivalent.core.settings import Settings
from trivalent.store import Query, Store, open_store

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("streamlit")
from web_runs import Runs  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = REPOSITORY / "build" / "screenshots"
PAGES = ("history", "compare", "batch", "models", "benchmarks", "guide", "account")
RUNS: WeakKeyDictionary[Any, Runs] = WeakKeyDictionary()
NAMES = ("review of the film", "first call", "second call", "interview")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("app") / "home"
    store = open_store(Settings(home=folder))
    history = store.history(store.accounts.local_user())
    makers = (analyses.video, analyses.audio, analyses.faceless, analyses.text)
    for i, (name, make) in enumerate(zip(NAMES, makers, strict=True)):
        history.add(
            make(), name=name, tags=["pilot"] if i else [], now=datetime.now(UTC) - timedelta(hours=i)
        )
    store.close()
    return folder


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "trivalent.cli.main", "app", "--no-browser", "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("TRIVALENT_SETTINGS", None)
    with subprocess.Popen(
        [*command, "--home", str(home)], stdout=subprocess.PIPE, text=True, env=environment
    ) as app:
        assert app.stdout is not None
        found = re.search(r"http://\S+", app.stdout.readline())
        assert found, "the app says where it is"
        yield found[0]
        app.terminate()
        app.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    contexts = []

    def opened(page: str, *, language: str = "en", width: int = 1600, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            timezone_id="Europe/Berlin",
            accept_downloads=True,
        )
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(120_000)
        RUNS[tab] = Runs(tab)
        go(tab, f"{address}/{page}?lang={language}")
        return tab

    yield opened
    for context in contexts:
        context.close()


def go(tab: Any, address: str) -> None:
    tab.goto(address)
    tab.wait_for_selector("h1")
    settled(tab)


def settled(tab: Any) -> None:
    """Wait until the page is made: what the former one left can be clicked till then, and undoes it."""
    RUNS[tab].settle()


def click(tab: Any, what: Any) -> None:
    what.click()
    settled(tab)


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = open_store(Settings(home=home))
    yield opened
    opened.close()


def names(store: Store) -> list[str]:
    found = store.history(store.accounts.local_user()).search(Query()).records
    return [r.name for r in found]


def shows(tab: Any, *expected: str) -> None:
    """Wait until the history lists exactly these."""
    rows = tab.locator("[class*='st-key-open-'] button")
    sync_api.expect(rows).to_have_text(list(expected), timeout=120_000)


def test_search_open_rename_tag_and_delete(visit: Callable[..., Any], store: Store) -> None:
    tab = visit("history")
    shows(tab, *NAMES)
    search = tab.get_by_role("textbox", name="Search")
    search.fill("CALL")
    search.press("Enter")
    settled(tab)
    tab.get_by_text("2 analyses", exact=True).wait_for()
    shows(tab, "first call", "second call")

    click(tab, tab.get_by_role("button", name="first call"))
    tab.locator(".tv-verdict").wait_for()
    click(tab, tab.get_by_role("button", name="All analyses"))
    tab.get_by_text("2 analyses", exact=True).wait_for()
    shows(tab, "first call", "second call")  # the search is kept

    choose(tab, "first call")
    dialog = tab.get_by_role("dialog")
    click(tab, tab.get_by_role("button", name="Rename"))
    dialog.get_by_role("textbox").fill("call with Ada")
    click(tab, dialog.get_by_role("button", name="Save"))
    tab.get_by_role("button", name="call with Ada").wait_for()
    assert "call with Ada" in names(store)

    click(tab, tab.get_by_role("button", name="Delete", exact=True))
    dialog.get_by_text("call with Ada").wait_for()
    click(tab, dialog.get_by_role("button", name="Cancel"))
    dialog.wait_for(state="detached")
    assert "call with Ada" in names(store)
    click(tab, tab.get_by_role("button", name="Delete", exact=True))
    dialog.get_by_text("call with Ada").wait_for()
    click(tab, dialog.get_by_role("button", name="Delete"))
    tab.get_by_text("one analysis", exact=True).wait_for()
    assert "call with Ada" not in names(store)


def choose(tab: Any, *chosen: str) -> None:
    for name in chosen:
        row = tab.locator("[class*='st-key-tv-row-']").filter(has_text=name)
        click(tab, row.locator("label").first)


def test_two_are_compared_and_exported_from_the_history(visit: Callable[..., Any], tmp_path: Path) -> None:
    import zipfile

    tab = visit("history", language="zh")
    choose(tab, "review of the film", "interview")
    tab.get_by_text("已选 2 个").wait_for()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="导出").click()
    download.value.save_as(tmp_path / "export.zip")
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        assert len([n for n in archive.namelist() if n.startswith("analyses/")]) == 2
        assert "analyses.csv" in archive.namelist()
    click(tab, tab.get_by_role("button", name="对比"))
    tab.get_by_text("差异", exact=True).wait_for()
    assert tab.locator(".tv-verdict").count() == 2
    shot(tab, "compare-zh-light-1600")


def test_a_batch_of_three_with_a_bad_one_survives_a_reload(
    visit: Callable[..., Any], tmp_path: Path, store: Store
) -> None:
    (tmp_path / "praise.txt").write_text("I love how this turned out. Thank you all so much!")
    (tmp_path / "complaint.txt").write_text("This was a complete waste of money. Never again.")
    (tmp_path / "broken.mp4").write_text("this is no video")
    tab = visit("batch", language="zh", width=380, dark=True)
    files = [tmp_path / n for n in ("praise.txt", "complaint.txt", "broken.mp4")]
    tab.locator("input[type=file]").set_input_files(files)
    for file in files:
        tab.get_by_text(file.name).wait_for()
    tab.get_by_role("button", name="开始").click()
    tab.get_by_text("3 个文件中已处理").wait_for()
    tab.reload()
    tab.get_by_text("3 个文件中已处理 3 个").wait_for(timeout=120_000)
    tab.locator(".tv-summary").wait_for()
    settled(tab)  # the list of what runs gives way to the list of failures
    assert tab.locator(".tv-summary .tv-share").count() == 3, "all files, and the two that were analysed"
    assert tab.get_by_text("broken.mp4").count() == 1
    shot(tab, "batch-zh-dark-380")
    assert not wider_than_the_window(tab)
    assert {"praise.txt", "complaint.txt"} <= set(names(store))


def test_a_bundle_is_added_chosen_and_used(
    visit: Callable[..., Any], tmp_path: Path, store: Store, home: Path
) -> None:
    tab = visit("models")
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no archive")
    tab.locator("input[type=file]").set_input_files(bad)
    tab.get_by_text("bad.zip").wait_for()
    click(tab, tab.get_by_role("button", name="Check and add"))
    tab.get_by_text("Expected a readable .zip").wait_for()

    good = zip_bundle(write_bundle(tmp_path / "tiny"), tmp_path / "good.zip")
    tab.locator("input[type=file]").set_input_files(good)
    tab.get_by_text("good.zip").wait_for()
    click(tab, tab.get_by_role("button", name="Check and add"))
    click(tab, tab.locator(".st-key-use-tiny button"))
    tab.get_by_text("New analyses of this session use tiny").wait_for()
    assert [p.name for p in (home / "bundles").iterdir()] == ["tiny"]

    click(tab, tab.get_by_role("link", name="Batch"))
    tab.get_by_role("heading", name="Batch").wait_for()
    ready = tab.get_by_text("Name of the batch").or_(tab.get_by_text("Select a row to open it"))
    ready.locator("visible=true").first.wait_for()  # the name is there, too, in a section that is closed
    if not tab.get_by_text("Name of the batch").is_visible():
        click(tab, tab.get_by_text("New batch"))
    (tmp_path / "mini.txt").write_text("I love how this turned out.")
    tab.locator("input[type=file]").set_input_files(tmp_path / "mini.txt")
    tab.get_by_text("mini.txt").wait_for()
    tab.get_by_role("button", name="Start", exact=True).click()
    tab.get_by_text("1 of 1 files").wait_for(timeout=60_000)
    found = store.history(store.accounts.local_user()).search(Query(text="mini.txt")).records
    assert [(r.name, r.model_name) for r in found] == [("mini.txt", "tiny")]


@pytest.mark.parametrize(("language", "width", "dark"), [("en", 1600, False), ("zh", 380, True)])
def test_every_page_fits_the_window(
    visit: Callable[..., Any], address: str, language: str, width: int, dark: bool
) -> None:
    tab = visit(PAGES[0], language=language, width=width, dark=dark)
    for page in PAGES:
        go(tab, f"{address}/{page}?lang={language}")
        assert tab.locator(".stException, [data-testid='stAlertContentError']").count() == 0, page
        assert not wider_than_the_window(tab), page
        shot(tab, f"{page}-{language}-{'dark' if dark else 'light'}-{width}")


def wider_than_the_window(tab: Any) -> bool:
    found: bool = tab.evaluate(
        "() => { const m = document.querySelector('[data-testid=stMain]');"
        " return m.scrollWidth > m.clientWidth || document.documentElement.scrollWidth > innerWidth }"
    )
    return found


def shot(tab: Any, name: str) -> None:
    """Picture of the whole page for the eye, kept by the continuous integration."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    size = tab.viewport_size
    height = tab.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
    tab.set_viewport_size({"width": size["width"], "height": min(max(height, 780), 4000)})
    tab.wait_for_timeout(300)
    tab.screenshot(path=SHOTS / f"{name}.png")
    tab.set_viewport_size(size)
