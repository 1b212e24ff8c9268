"""The app's logic: pages run without a browser, and the pieces that they are made of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import analyses
from store_samples import a_home
from trivalent.bundle.loading import load_bundle
from trivalent.cli.main import main
from trivalent.core.analysis import Analysis, Model
from trivalent.core.errors import AuthenticationError, UsageError
from trivalent.core.messages import Message
from trivalent.core.settings import Auth, Settings
from trivalent.core.types import LABELS
from trivalent.experts.redecide import redecide
from trivalent.media.kinds import Kind
from trivalent.report.renderer import Renderer
from trivalent.store import Action, AuditQuery, JobState, Store, User, open_store
from trivalent.web import state
from trivalent.web.access_tickets import TICKETS, Play, Send, Session
from trivalent.web.admission import Admission, Visits
from trivalent.web.guard import Guard
from trivalent.web.i18n import Language, wording
from trivalent.web.page_recordings import UNUSED_S, Scratch, sweep
from trivalent.web.routes import COOKIE, ROUTES
from trivalent.web.server import configuration, serve
from trivalent.web.uploads import memory_mb
from trivalent.web.views.transcript import PAGE, page_of, pages, transcript
from trivalent.web.views.word_effects import word_map
from web_app import button, data_of, markup, open_app, words

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.usefixtures("quick_hashes")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    yield Settings(home=a_home(tmp_path / "home"), threads=1)
    state.close_all()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


def of_default(analysis: Analysis) -> Analysis:
    """Make an analysis that the default bundle might have made."""
    bundle = load_bundle("default")
    return replace(analysis, model=Model(bundle.name, bundle.version, bundle.sha256))


# --- texts


def test_a_text_is_analysed_kept_and_shown(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page = open_app(monkeypatch, settings)
    assert [title.value for title in page.title] == ["Analyze"]
    page.slider(key="mix-negative-text-default").set_value(0.8).run()
    page.text_area(key="text").set_value("I love this, it is wonderful.")
    button(page, "analyze-text").click().run()
    assert not page.exception
    assert "Positive" in words(page)
    assert "Expected mix: negative 55 %" in words(page), "of 0.8, 0.33 and 0.33"
    record = store.history(store.accounts.local_user()).get(page.query_params["record"])
    assert (record.label, record.kind, record.origin) == ("positive", "text", "app")
    assert record.name == "I love this, it is wonderful."
    button(page, "new").click().run()
    assert [title.value for title in page.title] == ["Analyze"]
    assert "record" not in page.query_params


@pytest.mark.parametrize(("text", "said"), [("", "empty"), ("?!", "only signs"), ("你好", "does not read")])
def test_an_impossible_text_is_explained(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, text: str, said: str
) -> None:
    page = open_app(monkeypatch, settings)
    page.text_area(key="text").set_value(text)
    button(page, "analyze-text").click().run()
    assert not page.exception
    assert said in page.error[0].value


def test_a_very_long_text_becomes_a_job(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    monkeypatch.setattr("trivalent.work.runner.JobRunner.start", lambda _: None)
    page = open_app(monkeypatch, settings)
    page.text_area(key="text").set_value("This is a fine day. " * 1500)
    button(page, "analyze-text").click().run()
    assert not page.exception
    job = store.jobs.get(store.accounts.local_user(), page.query_params["job"])
    assert job.state is JobState.QUEUED
    assert job.name.startswith("This is a fine day.")
    assert job.options["kind"] == Kind.TEXT
    assert "next in line" in words(page)


def test_an_example_fills_the_field(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    page = open_app(monkeypatch, settings)
    button(page, "example-complaint").click().run()
    assert page.text_area(key="text").value.startswith("Third delivery in a row")


# --- recordings as jobs


def test_the_sample_becomes_a_job_that_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    monkeypatch.setattr("trivalent.work.runner.JobRunner.start", lambda _: None)
    page = open_app(monkeypatch, settings)
    button(page, "analyze-sample").click().run()
    assert not page.exception
    user = store.accounts.local_user()
    job = store.jobs.get(user, page.query_params["job"])
    assert (job.name, job.keep_media, job.options["model"]) == ("sample.mp4", True, "default")
    assert all(stage in words(page) for stage in ("Decode", "Speech", "Voice", "Face", "Fusion"))
    button(page, f"cancel-{job.id}").click().run()
    assert store.jobs.get(user, job.id).state is JobState.CANCELLED
    page.run()
    assert "cancelled" in page.info[0].value


def test_a_file_takes_its_options_along(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    monkeypatch.setattr("trivalent.work.runner.JobRunner.start", lambda _: None)
    page = open_app(monkeypatch, settings)
    page.file_uploader(key="file").set_value(("../../talk.mp4", b"not a video", "video/mp4"))
    page.file_uploader(key="file-transcript").set_value(
        ("t.srt", b"1\n00:00:00,000 --> 00:00:01,000\nWell done!\n", "")
    )
    page.checkbox(key="file-keep").check()
    page.slider(key="mix-negative-file-default").set_value(0.8)
    page.run()
    button(page, "analyze-file").click().run()
    assert not page.exception
    job = store.jobs.get(store.accounts.local_user(), page.query_params["job"])
    assert job.keep_media
    assert job.options["transcript"].startswith("1\n00:00:00,000")
    assert job.options["prior"] == pytest.approx([0.8 / 1.46, 0.33 / 1.46, 0.33 / 1.46])
    assert (settings.home / "spool" / job.id).read_bytes() == b"not a video"


def test_a_full_queue_is_explained_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr("trivalent.work.runner.JobRunner.start", lambda _: None)
    page = open_app(monkeypatch, replace(settings, queue_limit=1))
    button(page, "analyze-sample").click().run()
    button(page, "new").click().run()
    button(page, "analyze-sample").click().run()
    assert not page.exception
    assert "in the queue" in page.error[0].value
    left = [p for p in (settings.home / "sessions").glob("*/**/*") if p.is_file()]
    assert len(left) == 1  # of the first


def test_a_job_of_another_is_not_there(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    page = open_app(monkeypatch, settings, job="0" * 32)
    assert not page.exception
    assert "not there" in page.info[0].value


def test_a_failed_job_says_why(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, tmp_path: Path
) -> None:
    monkeypatch.setattr("trivalent.work.runner.JobRunner.start", lambda _: None)
    file = tmp_path / "a"
    file.write_bytes(b"x")
    user = store.accounts.local_user()
    job = store.jobs.submit(user, "a*b*.mp4", file)
    claim = store.jobs.claim("test", lease_s=60)
    assert claim is not None
    store.jobs.fail(claim, Message("media.foreign", kind=Message("media.kind_text"), name="a.mp4"))
    page = open_app(monkeypatch, settings, job=job.id, lang="zh")
    assert r"无法分析 a\*b\*\.mp4" in page.error[0].value or r"无法分析 a\*b\*.mp4" in page.error[0].value
    assert "文本文件" in page.error[0].value


# --- results


def shown(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, analysis: Analysis, **query: str
):
    record = store.history(store.accounts.local_user()).add(analysis)
    return open_app(monkeypatch, settings, record=record.id, **query), record


def test_thresholds_and_confidence_decide_at_once(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page, record = shown(monkeypatch, settings, store, of_default(analyses.video()))
    first = words(page)
    assert button(page, f"reset-{record.id}").disabled
    page.slider(key=f"threshold-negative-{record.id}").set_value(0.01).run()
    assert words(page) != first
    assert "Decided with your settings" in page.caption[0].value
    page.slider(key=f"confidence-{record.id}").set_value(1.0).run()
    assert "Unsure" in words(page)
    button(page, f"reset-{record.id}").click().run()
    assert words(page) == first
    assert not page.exception


def test_another_mix_decides_at_once_and_starts_at_what_was_decided_with(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    told = redecide(of_default(analyses.video()), load_bundle("default"), prior=(0.2, 0.5, 0.3))
    page, record = shown(monkeypatch, settings, store, told)
    sliders = [page.slider(key=f"mix-{label}-{record.id}") for label in LABELS]
    assert [slider.value for slider in sliders] == [0.2, 0.5, 0.3]
    first = words(page)
    assert "Expected mix: negative 20 %, neutral 50 %, positive 30 %" in first
    page.slider(key=f"threshold-negative-{record.id}").set_value(0.01).run()
    assert "Expected mix: negative 20 %, neutral 50 %" in words(page), "another control does not lose it"
    button(page, f"reset-{record.id}").click().run()
    page.slider(key=f"mix-negative-{record.id}").set_value(0.8).run()
    assert "Expected mix: negative 50 %, neutral 31 %, positive 19 %" in words(page)
    button(page, f"reset-{record.id}").click().run()
    assert words(page) == first
    assert not page.exception


def test_a_channel_that_is_switched_off_does_not_count(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page, record = shown(monkeypatch, settings, store, of_default(analyses.video()))
    switches = next(g for g in page.button_group if g.key == f"modalities-{record.id}")
    assert "switched off" not in data_of(page, "player")["timeline"]
    switches.set_value(["audio", "face"]).run()
    assert "<b>Words</b> switched off (throughout)" in data_of(page, "player")["timeline"]
    stored = store.history(store.accounts.local_user()).analysis(record.id)
    assert stored.overall.label == analyses.video().overall.label


def test_another_model_cannot_decide_again(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    page, _ = shown(monkeypatch, settings, store, analyses.video())
    assert all(s.disabled for s in page.slider)
    assert any("which made the analysis" in caption.value for caption in page.caption)
    assert not page.exception


def test_a_result_in_chinese(monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store) -> None:
    page, _ = shown(monkeypatch, settings, store, of_default(analyses.video()), lang="zh")
    player = data_of(page, "player")
    said = re.sub(r"<[^>]*>|data:[^\"]*", " ", words(page) + player["timeline"] + player["transcript"])
    assert "置信度" in said
    assert "时间线" in said
    for english in ("Transcript", "weight", "confidence", "Combined", "neutral", "Measured"):
        assert english not in said


@pytest.mark.parametrize("name", sorted(analyses.ALL))
@pytest.mark.parametrize("language", list(Language))
def test_every_kind_of_result_is_drawn(name: str, language: Language) -> None:
    analysis = analyses.ALL[name]()
    draw = Renderer(wording(language), live=True)
    drawn = [
        draw.verdict(analysis),
        draw.warnings(analysis),
        draw.timeline(analysis),
        draw.moments(analysis),
    ]
    drawn += [transcript(analysis, draw, page=i) for i in range(pages(analysis))]
    for html in drawn:
        assert "<script" not in html
        assert "\x1b" not in html
        assert html.count("<section") == html.count("</section")
        assert html.count("<div") == html.count("</div")
        assert html.count("<svg") == html.count("</svg")
    if analysis.source.kind == "text":
        assert not drawn[2]


def test_a_long_transcript_has_pages() -> None:
    analysis = analyses.long(230)
    assert pages(analysis) == 3
    assert page_of(analysis, 0) == 0
    assert page_of(analysis, 229) == 2
    assert transcript(analysis, Renderer(live=True), page=2).count("<details>") == 230 - 2 * PAGE


def test_words_that_matter_are_marked_and_said() -> None:
    from trivalent.experts.occlusion import WordEffect

    effects = (
        WordEffect("not", 0, 3, np.array([0.4, -0.1, -0.3])),
        WordEffect("<b>", 4, 7, np.array([0.0, 0.001, -0.001])),
    )
    html = word_map("not <b>!", effects)
    assert 'class="tv-word tv-negative" style="--tint:1.00"' in html
    assert "negative +40" in html
    assert html.count("tv-word ") == 1
    assert "&lt;b&gt;!" in html


# --- language


def test_the_language_comes_from_the_browser_and_can_be_switched(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    from streamlit.testing.v1 import AppTest

    page = open_app(monkeypatch, settings)
    assert isinstance(page, AppTest)
    next(g for g in page.button_group if g.key == "language-side").set_value("zh").run()
    assert [title.value for title in page.title] == ["分析"]
    assert data_of(page, "cookies")["language"] == "zh"
    chinese = open_app(monkeypatch, replace(settings, language="zh"))
    assert [title.value for title in chinese.title] == ["分析"]
    asked = open_app(monkeypatch, replace(settings, language="zh"), lang="en")
    assert [title.value for title in asked.title] == ["Analyze"]


# --- login


@pytest.fixture
def people(settings: Settings, store: Store) -> dict[str, User]:
    from trivalent.store import Role

    ada = store.accounts.create("ada", PASSWORD, role=Role.ADMINISTRATOR)
    return {"ada": ada, "bob": store.accounts.create("bob", PASSWORD)}


def sign_in(page, name: str, password: str = PASSWORD):
    page.text_input[0].set_value(name)
    page.text_input[1].set_value(password)
    return page.button[0].click().run()


def test_nothing_is_shown_before_the_login(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, people: dict[str, User]
) -> None:
    record = store.history(people["ada"]).add(of_default(analyses.video()))
    page = open_app(monkeypatch, replace(settings, auth=Auth.LOCAL), record=record.id)
    assert [field.label for field in page.text_input] == ["User name", "Password"]
    assert analyses.video().source.name not in markup(page)
    sign_in(page, "ada", "wrong password")
    assert "not right" in page.error[0].value
    sign_in(page, "nobody")
    assert "not right" in page.error[0].value


def test_each_sees_only_what_is_theirs(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, people: dict[str, User]
) -> None:
    record = store.history(people["ada"]).add(of_default(analyses.video()))
    local = replace(settings, auth=Auth.LOCAL)
    page = sign_in(open_app(monkeypatch, local, record=record.id), "ada")
    assert record.name in markup(page)
    button(page, "log-out").click().run()
    assert [field.label for field in page.text_input] == ["User name", "Password"]
    assert record.name not in markup(page)
    page.query_params["record"] = record.id
    page = sign_in(page, "bob")
    assert not page.exception
    assert record.name not in markup(page)
    assert "not there" in page.info[0].value


def test_after_five_failures_the_account_is_locked(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, people: dict[str, User]
) -> None:
    page = open_app(monkeypatch, replace(settings, auth=Auth.LOCAL), lang="zh")
    for _ in range(6):
        sign_in(page, "bob", "wrong password")
    assert "5 分钟" in page.error[0].value
    sign_in(page, "bob")
    assert "5 分钟" in page.error[0].value


def test_a_session_ends_when_the_account_is_closed(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store, people: dict[str, User]
) -> None:
    page = sign_in(open_app(monkeypatch, replace(settings, auth=Auth.LOCAL)), "bob")
    assert [title.value for title in page.title] == ["Analyze"]
    store.accounts.set_active(people["bob"].id, False)
    page.run()
    assert [field.label for field in page.text_input] == ["User name", "Password"]


def test_an_identity_provider_vouches(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, store: Store
) -> None:
    """With Streamlit's own mock of the provider: no real one is asked."""
    page = open_app(monkeypatch, replace(settings, auth=Auth.OIDC))
    assert [b.label for b in page.button] == ["Log in with your organisation's account"]
    page.user = {"is_logged_in": True, "iss": "https://id.example", "sub": "42", "name": "Ada"}
    page.run()
    assert [title.value for title in page.title] == ["Analyze"]
    known = [u for u in store.accounts.users() if not u.has_password]
    assert [u.name for u in known] == ["Ada"]
    page.run()
    entered = store.audit.lines(AuditQuery(action=Action.SIGN_IN))
    assert [(line.actor_id, line.details) for line in entered] == [(known[0].id, {"by": "provider"})]
    store.accounts.set_active(known[0].id, False)
    page.run()
    assert "closed" in page.error[0].value


# --- plain HTTP beside the web socket


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=list(ROUTES)))


def test_recordings_are_played_in_parts_by_ticket_only(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    path.write_bytes(bytes(range(100)))
    name = TICKETS.issue(Play(path), owner="ada", seconds=60)
    part = client.get(f"/app/media/{name}", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-type"] == "video/webm"
    assert client.get("/app/media/guess").status_code == 404
    TICKETS.revoke("ada")
    assert client.get(f"/app/media/{name}").status_code == 404


def test_what_is_not_kept_goes_when_it_is_not_used(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    held = scratch.folder()
    own = Path(held.name).parent
    old, new = Path(held.name) / "old.webm", Path(held.name) / "new.webm"
    for path in (old, new):
        path.write_bytes(b"x")
    now = old.stat().st_mtime
    os.utime(old, (now, now - UNUSED_S))
    sweep(own, now=now + 60)
    assert list(Path(held.name).iterdir()) == [new]
    sweep(own, now=now + 2 * UNUSED_S)
    assert list(own.iterdir()) == []
    again = scratch.folder()  # the open page goes on
    assert Path(again.name).is_dir()
    scratch.close()
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_recording_is_taken_up_to_its_limit(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.recorded"
    name = TICKETS.issue(Send(path, limit=10), owner="ada", seconds=60)
    ours = {"x-trivalent": "1"}
    assert client.post(f"/app/recordings/{name}", content=b"1" * 11, headers=ours).status_code == 413
    assert not path.exists()
    assert client.post(f"/app/recordings/{name}", content=b"1" * 10).status_code == 404
    assert client.post(f"/app/recordings/{name}", content=b"1" * 10, headers=ours).status_code == 204
    assert path.read_bytes() == b"1" * 10
    assert list(path.parent.iterdir()) == [path]
    wrong = TICKETS.issue(Play(path), owner="ada", seconds=60)
    assert client.post(f"/app/recordings/{wrong}", content=b"1", headers=ours).status_code == 404


def test_the_session_cookie_is_out_of_reach_of_scripts(client: TestClient) -> None:
    name = TICKETS.issue(Session("secret"), owner="", seconds=60)
    answer = client.post("/app/session", headers={"x-trivalent-ticket": name})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=secret;")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.post("/app/session", headers={"x-trivalent-ticket": name}).status_code == 404
    ended = TICKETS.issue(Session("secret"), owner="", seconds=-1)
    assert client.post("/app/session", headers={"x-trivalent-ticket": ended}).status_code == 404


# --- starting


def test_the_server_is_told_to_stay_at_home(settings: Settings) -> None:
    options = configuration(settings, host="127.0.0.1", port=8501)
    assert options["browser.gatherUsageStats"] is False
    assert options["server.maxUploadSize"] == 100
    assert options["server.headless"] is True


def test_a_taken_port_is_one_line(settings: Settings) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"free port.*127.0.0.1:{port}"):
            serve(settings, host="127.0.0.1", port=port, browser=False)


def test_a_public_address_needs_accounts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--host", "0.0.0.0", "--no-browser"]) == 2
    assert "whoever reaches it" in capsys.readouterr().err


def test_labels_are_told_apart_without_colour() -> None:
    assert [re.search("<i>(.)</i>", Renderer().label(label)).group(1) for label in LABELS] == [
        "−",
        "○",
        "+",
    ]


# --- who is let in, asked anew


def test_an_admission_holds_as_long_as_the_store_says(store: Store, people: dict[str, User]) -> None:
    bob = people["bob"]
    token = store.accounts.open_session(bob)
    by_password = Admission(lambda: store.accounts, bob.id, token)
    by_provider = Admission(lambda: store.accounts, bob.id)
    assert by_password.user() == by_provider.user() == bob
    assert not Admission(lambda: store.accounts, people["ada"].id, token).holds()
    store.accounts.close_session(token)
    assert (by_password.holds(), by_provider.holds()) == (False, True)
    store.accounts.set_active(bob.id, False)
    assert not by_provider.holds()
    with pytest.raises(AuthenticationError, match=r"signed in.*ended.*log in again"):
        by_provider.user()
    store.accounts.delete(bob.id)
    assert not by_provider.holds()


def test_a_visit_belongs_to_its_newest_socket() -> None:
    visits, who = Visits(), Admission(lambda: None, "ada")
    visits.enter("session", "first", who)
    visits.enter("session", "second", who)
    assert visits.closed("first") is None  # the page has another
    assert visits.of("session") is who
    assert visits.at("second") == ("session", who)
    assert visits.closed("second") == "session"
    assert (visits.of("session"), visits.at("second")) == (None, None)
    visits.enter("session", "third", who)
    visits.leave("session")
    assert (visits.at("third"), visits.closed("third")) == (None, None)


def test_a_ticket_ends_with_the_session_that_it_was_given_to(client: TestClient, tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    path.write_bytes(b"1")
    let_in = True
    name = TICKETS.issue(Play(path), owner="ada", seconds=60, holds=lambda: let_in)
    assert client.get(f"/app/media/{name}").status_code == 200
    let_in = False
    assert client.get(f"/app/media/{name}").status_code == 404
    let_in = True
    assert client.get(f"/app/media/{name}").status_code == 404  # for good


def test_emptied_caches_change_nothing(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    import streamlit as st

    monkeypatch.setenv("TRIVALENT_SETTINGS", settings.to_json())
    before, bundle = state.services(), state.bundle("default")
    st.cache_resource.clear()
    st.cache_data.clear()
    assert state.services() is before
    assert state.bundle("default") is bundle


def test_only_one_set_of_services_is_started(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.setenv("TRIVALENT_SETTINGS", settings.to_json())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: state.services(), range(8)))
    assert len({id(services) for services in found}) == 1


@pytest.mark.parametrize(
    ("more", "host", "answered", "refused"),
    [
        ({}, "127.0.0.1", ["localhost:8501", "[::1]", "127.0.0.1:1"], ["a.example", "10.0.0.1"]),
        ({}, "[::1]", ["[::1]:8501", "localhost"], ["a.example"]),
        ({}, "0.0.0.0", ["a.example", "10.0.0.1:8501"], ["a b", "a/b", ""]),
        ({"public_names": ("a.example",)}, "0.0.0.0", ["a.example:443", "localhost"], ["b.example"]),
        ({"public_names": ("a.example",)}, "127.0.0.1", ["a.example", "localhost"], ["b.example"]),
    ],
)
def test_hosts_are_known(
    settings: Settings, more: dict[str, object], host: str, answered: list[str], refused: list[str]
) -> None:
    from starlette.responses import PlainTextResponse

    client = TestClient(Guard(PlainTextResponse("in"), settings=replace(settings, **more), host=host))
    assert {client.get("/", headers={"host": name}).status_code for name in answered} == {200}
    assert {client.get("/", headers={"host": name}).status_code for name in refused} <= {400, 421}


def test_uploads_have_room_for_one_largest_file_at_least(tmp_path: Path) -> None:
    assert memory_mb(Settings(home=tmp_path)) == 2000
    assert memory_mb(Settings(home=tmp_path, upload_memory_mb=300)) == 300
    assert memory_mb(Settings(home=tmp_path, upload_memory_mb=300, max_upload_mb=400)) == 800


def test_a_server_is_told_its_names_and_its_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Settings] = []
    monkeypatch.setattr("trivalent.web.server.serve", lambda settings, **_: told.append(settings))
    monkeypatch.delenv("TRIVALENT_SETTINGS", raising=False)
    options = ["--public-name", "A.example", "--public-name", "b.example", "--trusted-proxy", "10.0.0.1"]
    assert main(["app", "--home", str(tmp_path), "--upload-memory", "300", *options]) == 0
    assert told[0].public_names == ("a.example", "b.example")
    assert (told[0].trusted_proxy, told[0].upload_memory_mb) == ("10.0.0.1", 300)
    assert Settings.from_environment() == told[0]
    assert main(["app", "--home", str(tmp_path), "--upload-memory", "0"]) == 2
