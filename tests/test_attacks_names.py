"""Names that pose as something else: links, mail addresses, Markdown, text in the other direction."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import analyses
from attack_log import Attack
from trivalent.core.analysis import Source
from trivalent.report import writers as report

pytestmark = pytest.mark.finding("low")
LINKS = (
    "http://evil.example/x.mp4",
    "HTTPS://evil.example",
    "www.evil.example",
    "see www.evil.example/a.mp4",
    "mail@evil.example",
    "mailto:mail@evil.example",
    "[x](http://evil.example)",
    "<http://evil.example>",
    "[evil.example]: http://evil.example",
    "![x](http://evil.example/x.png)",
    "http&#58;//evil.example",
    "<a href='http://evil.example'>x</a>",
    "ftp://evil.example xmpp:a@evil.example",
    "(http://evil.example)",
    "_http://evil.example_",
    "1http://evil.example",
)
ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
HOSTILE = (
    "invoice\u202efdp.mp4",
    "a\u2066b\u2069.mp4",
    "a\u200bb\u200f\ufeff.mp4",
    "a\x1b]0;x\x07\x9bb.mp4",
    "a\u2028b\u2029\x85\r\nc.mp4",
    "a\udcff\udce9.mp4",
    "a\x00b\x7f.mp4",
    "\u202e.mp4",
)


def test_names_that_enter(tmp_path: Path, attack: Attack) -> None:
    """By an upload to the service, into the store, in an archive: one cleaning for all."""
    pytest.importorskip("fastapi", reason="the extra app is not installed")
    from trivalent.service.schemas import TextRequest
    from trivalent.service.uploads import shown_name
    from trivalent.store.mapping import clean_name, clean_tags, one_line
    from trivalent.work.batch_files import examine, unpack

    file = tmp_path / "file"
    file.write_bytes(b"a recording")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in HOSTILE:
            packed.writestr(name.encode("utf-8", "replace").decode() or "x", b"a recording")

    def sent(name: str) -> str:
        """As the JSON of a request names a text; the part of it that the schema takes."""
        taken = "".join(c for c in name if c.isprintable() or c in "\u202e\u2066\u200b\u200f\ufeff")
        return TextRequest(text="x", name=taken).name

    ways = {
        "upload": shown_name,
        "request": sent,
        "label": one_line,
        "name": lambda name: clean_name(name, what="thing"),
        "tag": lambda name: clean_tags([name])[0],
    }
    for name in HOSTILE:
        for way, clean in ways.items():
            entered = clean(name)
            attack.attempt(f"{way} {name!r}", withstood=bool(entered) and not ACTING.search(entered))
        attack.attempt(f"examine {name!r}", withstood=not ACTING.search(examine(name, file).name))
    (tmp_path / "out").mkdir()
    for outcome in unpack("\u202e.zip", archive, tmp_path / "out", largest=1000):
        attack.attempt(f"zip {outcome.name!r}", withstood=not ACTING.search(outcome.name))


def test_names_in_json(attack: Attack) -> None:
    """A document of an analysis holds escapes where the name holds what acts."""
    for name in HOSTILE:
        text = report.to_json([replace(analyses.text(), source=Source(name, "text", None))])
        attack.attempt(repr(name), withstood=not ACTING.search(text.replace("\n", "")))


def test_names_in_a_report(attack: Attack) -> None:
    """The page has no link but those to its own parts."""
    for name in LINKS:
        one = analyses.text()
        said = tuple(replace(u, text=name) for u in one.utterances)
        page = report.to_html([replace(one, source=Source(name, "text", None), utterances=said)])
        links = re.findall(r'<(?:a|img)\s[^>]*(?:href|src)="([^"]*)"', page)
        attack.attempt(name, withstood=all(link.startswith(("#", "data:image/")) for link in links))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from web_server import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def app(tmp_path: Path) -> Iterator[str]:
    """The app over a history and a batch in which every name is a link."""
    pytest.importorskip("streamlit", reason="the extra app is not installed")
    from trivalent.core.settings import Settings
    from trivalent.store import open_store
    from web_server import running

    home = tmp_path / "home"
    with closing(open_store(Settings(home=home))) as store:
        user, jobs = store.accounts.local_user(), store.jobs
        batch = jobs.create_batch(user, LINKS[0])
        for i, name in enumerate(LINKS):
            file = tmp_path / str(i)
            file.write_text("content")
            jobs.submit(user, name, file, batch=batch, origin="batch")
            claim = jobs.claim("worker", lease_s=60)
            assert claim is not None
            if i % 2:
                jobs.fail(claim, f"expected sound, got {name}; see {name}")
            else:
                jobs.finish(claim, replace(analyses.text(), source=Source(name, "text", None)))
    with running(home) as address:
        yield address


def test_names_in_the_app(app: str, browser: Any, attack: Attack) -> None:
    """No page makes one of them a link or a picture, and tables are not exported unguarded."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-US")
    page.set_default_timeout(30_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name, mark in (("batch", "Failures"), ("history", "evil.example"), ("compare", "evil.example")):
        page.goto(f"{app}/{name}")
        page.wait_for_function(
            "mark => document.querySelector('.stMain')?.innerText.includes(mark)", arg=mark
        )
        page.wait_for_timeout(1500)
        links = page.evaluate("[...document.querySelectorAll('a,img')].map(e => e.href || e.src)")
        hostile = [link for link in links if "evil" in link]
        attack.attempt(f"{name} {hostile[:3]}", withstood=not hostile)
        if name == "batch":
            shown = page.locator(".stMain").inner_text()
            attack.attempt("names are shown", withstood="evil.example" in shown.replace("\u2060", ""))
            page.locator("[data-testid=stDataFrame]").hover()
            page.wait_for_timeout(500)
            tools = page.locator("[data-testid=stElementToolbar] button").all()
            words = [tool.get_attribute("aria-label") or "" for tool in tools]
            attack.attempt(f"{words}", withstood=not any("ownload" in word for word in words))
    attack.attempt("nothing was asked for", withstood=not [url for url in asked if "evil" in url])
    page.close()
