"""The pages of history, batches, models, data, benchmarks, guide and accounts, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import analyses
from bundles import write_bundle
from conftest import REPOSITORY
from store_samples import a_home
from trivalent.bundle import shelf as bundle_store
from trivalent.bundle.loading import load_bundle
from trivalent.core.errors import AuthenticationError, DataError, MissingExtraError, PermissionDeniedError
from trivalent.core.settings import VARIABLE, Auth, Settings
from trivalent.core.types import LABELS, Modality
from trivalent.store import Action, AuditQuery, JobState, Query, Role, Store, User, open_store
from trivalent.web import comparison, data_sets, figures, state
from trivalent.web.i18n import Language, catalogue, speaking, t
from trivalent.web.views.distribution import distribution
from trivalent.web.views.reliability import plot
from trivalent.work.runner import JobRunner

RESULTS = REPOSITORY / "benchmarks" / "results"
pytestmark = pytest.mark.usefixtures("quick_hashes")


class Site:
    """One home with its store, and pages over it; nothing runs in the background."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(home=a_home(home))
        self._patch = monkeypatch
        self._patch.setattr(JobRunner, "start", lambda _: None)
        self.configure()

    def configure(self, **changes: Any) -> None:
        values = {**vars(self.settings), **changes}
        self.settings = Settings(**values)
        self._patch.setenv(VARIABLE, self.settings.to_json())

    @property
    def store(self) -> Store:
        if not hasattr(self, "_store"):
            self._store = open_store(self.settings)
        return self._store

    @property
    def user(self) -> User:
        return self.store.accounts.local_user()

    def add(self, *names: str, **options: Any) -> list[str]:
        history = self.store.history(self.user)
        start = datetime(2026, 5, 1, tzinfo=UTC)
        made = [
            history.add(analyses.video(), name=name, now=start + timedelta(hours=i), **options)
            for i, name in enumerate(names)
        ]
        return [r.id for r in made]

    def names(self) -> list[str]:
        return [r.name for r in self.store.history(self.user).search(Query()).records]

    def page(self, name: str, *, user: User | None = None, chinese: bool = False) -> AppTest:
        app = AppTest.from_function(_script, kwargs={"name": name}, default_timeout=30)
        app.session_state["language"] = Language.CHINESE if chinese else Language.ENGLISH
        if user is not None:
            app.session_state["token"] = self.store.accounts.open_session(user)
        return app.run()


def _script(name: str) -> None:
    import importlib

    from trivalent.web import login

    if login.admit():
        importlib.import_module(f"trivalent.web.pages.{name}").show()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "home", monkeypatch)
    yield made
    made.store.close()
    state.close_all()


def said(app: AppTest) -> str:
    """Everything on a page, as one text."""
    assert not app.exception, app.exception
    kinds = (
        "title",
        "header",
        "subheader",
        "markdown",
        "caption",
        "error",
        "warning",
        "info",
        "toast",
        "success",
    )
    parts = [element.value for kind in kinds for element in app.get(kind)]
    parts += [element.proto.body for element in app.get("html")]
    return "\n".join(str(p) for p in parts)


def button(app: AppTest, words: str) -> Any:
    return next(b for b in app.button if b.label == words)


# history: what happens in dialogs is in test_web_browser_pages.py

ACTIONS = ("Rename", "Tags", "Compare", "Delete")


def test_an_empty_history_says_so_in_both_languages(site: Site) -> None:
    assert "Nothing here yet" in said(site.page("history"))
    assert "这里还没有内容" in said(site.page("history", chinese=True))


def test_the_history_lists_searches_and_filters(site: Site) -> None:
    site.add("review of the film", "a call", "*stars* & <b>tags</b>")
    app = site.page("history")
    assert [b.label for b in app.button if (b.key or "").startswith("open-")] == [
        r"\*stars\* & \<b\>tags\</b\>",
        "a call",
        "review of the film",
    ]
    assert "3 analyses" in said(app)
    app.text_input(key="filter-text").set_value("FILM review").run()
    assert "one analysis" in said(app)
    app.text_input(key="filter-text").set_value("").run()
    app.button_group(key="filter-labels").set_value(["negative"]).run()
    assert "Nothing found" in said(app)
    app.button_group(key="filter-labels").set_value(["positive"]).run()
    assert "3 analyses" in said(app)


def test_filters_by_tag_model_kind_and_date(site: Site) -> None:
    site.add("one", tags=["pilot"])
    site.add("two", "three")
    app = site.page("history")
    app.selectbox(key="filter-tag").set_value("pilot").run()
    assert "one analysis" in said(app)
    button(app, "Reset filters").click().run()
    assert "3 analyses" in said(app)
    app.date_input(key="filter-dates").set_value(
        (datetime(2026, 5, 2).date(), datetime(2026, 5, 3).date())
    ).run()
    assert "Nothing found" in said(app)
    app.date_input(key="filter-dates").set_value(
        (datetime(2026, 5, 1).date(), datetime(2026, 5, 1).date())
    ).run()
    assert "3 analyses" in said(app)


def test_pages_of_the_history(site: Site) -> None:
    site.add(*(f"clip {i:02d}" for i in range(45)))
    app = site.page("history")
    assert "1 to 20 of 45" in said(app)
    assert button(app, "Previous").disabled
    button(app, "Next").click().run()
    button(app, "Next").click().run()
    assert "41 to 45 of 45" in said(app)
    assert button(app, "Next").disabled
    button(app, "Previous").click().run()
    assert "21 to 40 of 45" in said(app)
    app.selectbox(key="filter-order").set_value("name").run()
    assert "1 to 20 of 45" in said(app), "another order begins at its first page"


def pick(app: AppTest, *ids: str) -> AppTest:
    for record_id in ids:
        app.checkbox(key=f"pick-{record_id}").check()
    return app.run()


def test_what_can_be_done_depends_on_the_selection(site: Site) -> None:
    first, second, third = site.add("one", "two", "three")
    app = site.page("history")

    def possible() -> list[str]:
        return [b.label for b in app.button if b.label in ACTIONS and not b.disabled]

    assert possible() == []
    assert "3 analyses" in said(app)
    pick(app, first)
    assert possible() == ["Rename", "Tags", "Delete"]
    pick(app, second)
    assert possible() == ["Tags", "Compare", "Delete"]
    pick(app, third)
    assert possible() == ["Tags", "Delete"]
    assert "3 selected" in said(app)
    button(app, "Select none").click().run()
    assert possible() == []
    button(app, "Select this page").click().run()
    assert "3 selected" in said(app)


def test_what_is_deleted_elsewhere_leaves_the_selection(site: Site) -> None:
    first, second = site.add("one", "two")
    app = pick(site.page("history"), first, second)
    site.store.history(site.user).delete([first])
    app.run()
    assert "1 selected" in said(app)


def test_a_record_of_somebody_else_is_not_there(site: Site) -> None:
    other = site.store.accounts.create("other", "long enough 1")
    record = site.store.history(other).add(analyses.video(), name="secret")
    app = AppTest.from_function(_script, kwargs={"name": "history"}, default_timeout=30)
    app.query_params["record"] = record.id
    app.run()
    assert "secret" not in said(app)
    assert app.error


# comparison


def test_two_results_side_by_side(site: Site) -> None:
    history = site.store.history(site.user)
    a = history.add(analyses.video(), name="with a face")
    b = history.add(analyses.faceless(), name="without")
    app = AppTest.from_function(_script, kwargs={"name": "compare"}, default_timeout=30)
    app.session_state["compare"] = (a.id, b.id)
    app.run()
    assert [s.value for s in app.selectbox] == [a.id, b.id]
    text = said(app)
    assert "weight: Face" in text
    assert "not used" in text
    assert "What differs" in text
    app.selectbox(key="compare-1").set_value(a.id).run()
    assert "Both are the same analysis" in said(app)


def test_one_analysis_cannot_be_compared(site: Site) -> None:
    site.add("one")
    assert "Two analyses are needed" in said(site.page("compare"))


def test_channels_are_means_over_time() -> None:
    analysis = analyses.video()
    found = comparison.channels(analysis)
    spans = np.array([u.end_s - u.start_s for u in analysis.utterances])
    weights = np.array([[u.modalities[m].weight for m in Modality] for u in analysis.utterances])
    expected = (spans[:, None] * weights).sum(0) / spans.sum()
    np.testing.assert_allclose([found[m].weight for m in Modality], expected)
    for channel in found.values():
        assert channel.probabilities is not None
        np.testing.assert_allclose(channel.probabilities.sum(), 1)
    assert sum(comparison.label_counts(analysis)) == len(analysis.utterances)
    empty = comparison.channels(analyses.silent())
    assert all(c.total == len(analyses.silent().utterances) for c in empty.values())


def test_only_the_same_utterances_are_paired() -> None:
    video = analyses.video()
    pairs = comparison.paired(video, analyses.faceless())
    assert pairs is not None
    assert all(a.text == b.text for a, b in pairs)
    assert not comparison.moved([(u, u) for u in video.utterances])
    assert comparison.paired(video, analyses.text()) is None
    assert comparison.paired(analyses.silent(), video) is None


def test_a_distribution_has_a_sign_and_a_number_for_each_class() -> None:
    drawn = distribution((1, 0, 12))
    assert "<i>−</i>1" in drawn
    assert "<i>+</i>12" in drawn
    assert "tv-neutral" not in drawn, "nothing is drawn for none"
    assert 'aria-label="1 negative, 0 neutral, 12 positive"' in drawn


# batches


def batch_of(site: Site, tmp_path: Path, *names: str) -> str:
    jobs = site.store.jobs
    batch = jobs.create_batch(site.user, "Interviews")
    for name in names:
        file = tmp_path / name
        file.write_text("content")
        jobs.submit(site.user, name, file, batch=batch, origin="batch")
    return batch


def test_without_batches_there_is_a_form_and_an_explanation(site: Site) -> None:
    text = said(site.page("batch"))
    assert "No batches yet" in text
    assert "还没有批次" in said(site.page("batch", chinese=True))


def test_a_batch_is_stopped_resumed_and_cancelled(site: Site, tmp_path: Path) -> None:
    batch = batch_of(site, tmp_path, "a.txt", "b.txt", "c.txt")
    app = site.page("batch")
    assert "a.txt" in said(app)
    app.button(key="batch-stop").click().run()
    assert {j.state for j in site.store.jobs.list(site.user, batch=batch).jobs} == {JobState.PAUSED}
    app.button(key="batch-resume").click().run()
    assert {j.state for j in site.store.jobs.list(site.user, batch=batch).jobs} == {JobState.QUEUED}
    app.button(key="batch-cancel-sure").click().run()
    assert {j.state for j in site.store.jobs.list(site.user, batch=batch).jobs} == {JobState.CANCELLED}


def test_results_and_failures_of_a_batch(site: Site, tmp_path: Path) -> None:
    batch_of(site, tmp_path, "good.txt", "bad.txt")
    jobs = site.store.jobs
    for _ in range(2):
        claim = jobs.claim("worker", lease_s=60)
        assert claim is not None
        if claim.job.name == "good.txt":
            jobs.finish(claim, analyses.text())
        else:
            jobs.fail(claim, "expected *sound*, got none")
    app = site.page("batch")
    text = said(app)
    assert r"**bad.txt**: Expected \*sound\*, got none" in text
    assert "tv-distribution" in text
    (table,) = app.dataframe
    assert table.value["file"].tolist() == ["good.txt"]
    app.button_group(key="batch-labels").set_value(["negative"]).run()
    assert "No result fits the filters." in said(app)


# models


@pytest.fixture
def added(site: Site) -> str:
    write_bundle(bundle_store.folder_of(site.settings.home) / "tiny", modalities=["text", "face"])
    return "tiny"


def test_the_default_bundle_has_a_card_with_a_calibration_plot(site: Site) -> None:
    text = said(site.page("models"))
    card = load_bundle("default").card
    assert "tv-reliability" in text
    assert card["licence"]["audio"].split(":")[0] in text.replace("\\", "")
    # the plots of `default` are drawn; `fast` was not measured, and says so
    assert "Calibration on sst5" in text
    assert text.count("No reliability data are at hand") == 1


def test_a_bundle_without_measurements_says_so(site: Site, added: str) -> None:
    app = site.page("models")
    text = said(app)
    assert "No reliability data are at hand" in text
    assert "The bundle records no figures." in text
    app.button(key=f"use-{added}").click().run()
    assert app.session_state["model"] == added
    app.button(key=f"remove-sure-{added}").click().run()
    assert bundle_store.added_bundles(site.settings.home) == []
    assert state_model(app) == "default"


def state_model(app: AppTest) -> str:
    return str(app.session_state["model"])


def test_a_damaged_bundle_does_not_hide_the_others(site: Site, added: str) -> None:
    (bundle_store.folder_of(site.settings.home) / added / "face.onnx").write_bytes(b"other")
    text = said(site.page("models"))
    assert "This bundle cannot be used." in text
    assert "tv-reliability" in text


def test_only_administrators_change_bundles(site: Site, added: str) -> None:
    site.configure(auth=Auth.LOCAL)
    accounts = site.store.accounts
    user = accounts.create("user", "long enough 1")
    administrator = accounts.create("chief", "long enough 1", role=Role.ADMINISTRATOR)
    app = site.page("models", user=user)
    assert not [b for b in app.button if "remove" in (b.key or "")]
    assert not app.get("file_uploader")
    assert "Administrators can add bundles" in said(app)
    app = site.page("models", user=administrator)
    assert [b for b in app.button if "remove" in (b.key or "")]
    assert app.get("file_uploader")


def test_reliability_belongs_to_one_bundle_only() -> None:
    content = json.loads((RESULTS / "reliability.json").read_text())
    measured = figures.reliabilities(content["bundle"]["sha256"])
    assert content["bundle"]["sha256"] == load_bundle("default").sha256, "measured with the bundle we ship"
    assert {m.of for m in measured} == {figures.FUSED, *Modality}
    assert figures.reliabilities("0" * 64) == []
    for m in measured:
        assert sum(b.count for b in m.bins) == m.count
        gap = sum(b.count * abs(b.confidence - b.right) for b in m.bins) / m.count
        assert gap == pytest.approx(m.ece.mean, abs=1e-9)
        assert plot(m).count("tv-bin") == len(m.bins)


# figures, benchmarks and the guide


def test_every_result_file_is_read_and_pictures_have_one_owner() -> None:
    found = figures.results()
    assert {r.name for r in found} == {p.stem for p in RESULTS.glob("*.json")}
    pictures = [p for r in found for p in r.pictures]
    assert sorted(pictures) == sorted(RESULTS.glob("*.png"))
    by_name = {r.name: [p.stem for p in r.pictures] for r in found}
    assert "fusion-networks-missing" in by_name["fusion-networks"]


def test_a_broken_result_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")
    shutil.copy(RESULTS / "speed.json", tmp_path)
    monkeypatch.setenv(figures.VARIABLE, str(tmp_path))
    assert [r.name for r in figures.results()] == ["speed"]


@pytest.mark.parametrize("language", list(Language))
def test_benchmarks_show_tables_caveats_and_plots(site: Site, language: Language) -> None:
    with speaking(language):
        app = site.page("benchmarks", chinese=language is Language.CHINESE)
        for name in ("paper-table", "speed", "reliability"):
            app.selectbox(key="benchmark").set_value(name).run()
            text = said(app)
            content = json.loads((RESULTS / f"{name}.json").read_text())
            assert content["commit"] in text
            assert len(app.dataframe[0].value) == len(content["rows"])
            pictures = [p.stem for p in RESULTS.glob(f"{name}-*.png")]
            assert sorted(c for i in app.get("image") for c in i.captions) == sorted(pictures)
        app.selectbox(key="benchmark").set_value("paper-table").run()
        app.text_input(key="find-paper-table").set_value("always neutral").run()
        assert len(app.dataframe[0].value) == 1


def test_without_result_files_the_pages_say_how_to_get_them(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(figures.VARIABLE, str(tmp_path / "nowhere"))
    assert "trivalent benchmark" in said(site.page("benchmarks"))
    guide = said(site.page("guide"))
    assert figures.VARIABLE in guide
    assert "no measurement on separate test data is at hand" in guide
    assert "No reliability data" in said(site.page("models"))


@pytest.mark.parametrize("language", list(Language))
def test_the_guide_says_all_it_should(site: Site, language: Language) -> None:
    app = site.page("guide", chinese=language is Language.CHINESE)
    text = said(app)
    with speaking(language):
        headings = [
            t(f"guide.h_{h}") for h in ("reading", "confidence", "mixed", "limits", "privacy", "fairness")
        ]
    assert [h for h in headings if h in [x.value for x in app.header]] == headings
    assert str(site.settings.home) in text
    assert not re.search(r"{\w+}", text), "every placeholder is filled"


def test_figures_in_the_guide_come_from_the_files(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(RESULTS, folder)
    talking = folder / "talking.json"
    content = json.loads(talking.read_text())
    (fused,) = (row for row in content["rows"] if row["name"] == "all: fused")
    fused["metrics"]["macro_f1"] = {"mean": 0.4321, "low": 0.4, "high": 0.5}
    talking.write_text(json.dumps(content))
    monkeypatch.setenv(figures.VARIABLE, str(folder))
    assert "0.432 [0.400, 0.500]" in said(site.page("guide"))


def test_no_figure_is_typed_into_the_guide() -> None:
    allowed = {"70", "95", "100", "0", "1", "2024", "1689", "5"}  # explanations, scales, the law
    for key, text in catalogue().items():
        if key.startswith("guide."):
            found = set(re.findall(r"\d+", " ".join(text.values()).replace("F1", "")))
            assert found <= allowed, key


# data sets


def test_without_the_lab_the_page_says_how_to_install_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise MissingExtraError("h5py", "train")

    monkeypatch.setattr(data_sets, "listing", absent)
    fresh_data()
    assert "pip install 'trivalent[train]'" in said(site.page("data"))


def fresh_data() -> None:
    from trivalent.web.pages import data

    data._listing.clear()
    data._information.clear()


LISTING = {
    "toy": {
        "title": "Toy",
        "protocols": {"p": "one sample each"},
        "licence": "MIT",
        "homepage": "https://a.b",
    }
}
COUNTS = {
    "synthetic": False,
    "known_counts": "reproduced",
    "splits": {
        "train": {
            "samples": 4,
            "groups": 2,
            "classes": dict.fromkeys(LABELS, 1),
            "percent": {"negative": 25.0, "neutral": 25.0, "positive": 50.0},
            "imbalance_ratio": 2.0,
            "seconds": {"median": 1.0, "p95": 2.0, "total_h": 0.5},
            "features": {
                "text": {
                    "extractor": "bert",
                    "columns": 768,
                    "samples_without": 0,
                    "cells_without_percent": 0.5,
                }
            },
        }
    },
    "dropped": {"takes of surprise": 160},
}


def test_counts_are_shown_where_the_data_are(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_sets, "listing", lambda: LISTING)
    monkeypatch.setattr(data_sets, "information", lambda *_: COUNTS)
    monkeypatch.setenv(data_sets.ROOT_VARIABLE, "somewhere")
    fresh_data()
    text = said(site.page("data"))
    for piece in ("1 (25.0 %)", "0.5 h", "bert", "takes of surprise", "known counts of this protocol"):
        assert piece in text, piece


def test_absent_data_are_told_with_the_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: str) -> None:
        raise DataError("expected files, got none")

    monkeypatch.setattr(data_sets, "listing", lambda: LISTING)
    monkeypatch.setattr(data_sets, "information", absent)
    monkeypatch.delenv(data_sets.ROOT_VARIABLE, raising=False)
    fresh_data()
    assert "No data folder is set" in said(site.page("data"))
    monkeypatch.setenv(data_sets.ROOT_VARIABLE, "somewhere")
    text = said(site.page("data"))
    assert "not among the data of this computer" in text
    assert "expected files, got none" in text


def test_the_command_is_asked_in_its_own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    found = data_sets.listing()
    assert {"mosei", "meld"} <= set(found)
    assert set(found["mosei"]) == {"title", "protocols", "licence", "homepage"}
    monkeypatch.setenv(data_sets.ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="expected"):
        data_sets.information("sst5", "three")


# account and users


def test_preferences_are_saved(site: Site) -> None:
    app = site.page("account")
    assert "without accounts" in said(app)
    for media, own, expected in (
        ("keep", "own", (True, 30)),
        ("drop", "usual", (False, None)),
        ("usual", "usual", (None, None)),
    ):
        app.radio(key="keep-media").set_value(media)
        app.radio(key="retention").set_value(own).run()
        if own == "own":
            app.number_input[0].set_value(30).run()
        app.button(key="save-keeping").click().run()
        assert (site.user.keep_media, site.user.retention_days) == expected


@pytest.mark.parametrize(("chinese", "word"), [(False, "delete"), (True, "删除")])
def test_everything_is_deleted_only_by_the_typed_word(site: Site, chinese: bool, word: str) -> None:
    site.add("one", "two")
    app = site.page("account", chinese=chinese)
    app.text_input[-1].set_value("yes")
    danger = next(b for b in app.button if b.label in ("Delete everything", "全部删除"))
    danger.click().run()
    assert site.names() == ["two", "one"]
    app.text_input[-1].set_value(f" {word.upper()} ")
    next(b for b in app.button if b.label in ("Delete everything", "全部删除")).click().run()
    assert site.names() == []
    assert ("2 个分析" if chinese else "2 analyses") in said(app)
    app.button(key="erased-away").click().run()
    assert ("2 个分析" if chinese else "2 analyses") not in said(app)


@pytest.fixture
def accounts(site: Site) -> Callable[..., User]:
    site.configure(auth=Auth.LOCAL)

    def create(name: str, role: Role = Role.USER) -> User:
        return site.store.accounts.create(name, "long enough 1", role=role)

    return create


def test_a_key_is_shown_once(site: Site, accounts: Callable[..., User]) -> None:
    user = accounts("ada")
    app = site.page("account", user=user)
    app.text_input[0].set_value("my script")
    button(app, "Create key").click().run()
    secret = app.code[0].value
    assert site.store.accounts.verify_key(secret)[0].id == user.id
    button(app, "I have copied it").click().run()
    assert not app.code
    (key,) = site.store.accounts.keys(user)
    app.button(key=f"revoke-sure-{key.id}").click().run()
    assert site.store.accounts.keys(user)[0].revoked is not None
    assert "my script" in said(app)


def test_a_password_is_changed_with_the_present_one(site: Site, accounts: Callable[..., User]) -> None:
    user = accounts("ada")
    app = site.page("account", user=user)

    def change(old: str, new: str, again: str) -> None:
        for field, value in zip(
            [i for i in app.text_input if i.proto.type == 1], (old, new, again), strict=True
        ):
            field.set_value(value)
        button(app, "Change password").click().run()

    change("wrong one here", "another good one", "another good one")
    assert app.error
    change("long enough 1", "another good one", "another good two")
    assert "not the same" in said(app)
    site.store.accounts.verify("ada", "long enough 1")
    change("long enough 1", "another good one", "another good one")
    assert site.store.accounts.verify("ada", "another good one").id == user.id
    assert "The password was changed." in said(app), "still signed in"


def test_administrators_manage_users(site: Site, accounts: Callable[..., User]) -> None:
    chief, user = accounts("chief", Role.ADMINISTRATOR), accounts("ada")
    app = site.page("accounts", user=chief)
    app.button(key=f"role-{user.id}").click().run()
    assert site.store.accounts.get(user.id).role is Role.ADMINISTRATOR
    app.button(key=f"active-{user.id}").click().run()
    assert not site.store.accounts.get(user.id).active
    assert app.button(key=f"role-{chief.id}").disabled, "nobody takes their own rights away"
    app.text_input[-2].set_value("grace")
    app.text_input[-1].set_value("long enough 2")
    button(app, "Add").click().run()
    assert site.store.accounts.verify("grace", "long enough 2").role is Role.USER

    def delete(typed: str) -> None:
        form = [i for i in app.text_input if i.label == "Type the name to confirm"]
        form[names.index("ada")].set_value(typed)
        sent = [b for b in app.button if b.label == "Delete"]
        sent[names.index("ada")].click().run()

    names = [u.name for u in site.store.accounts.users()]
    delete("somebody")
    assert site.store.accounts.get(user.id)
    delete("ada")
    assert [u.name for u in site.store.accounts.users()] == ["chief", "grace"]


def test_the_page_of_users_is_for_administrators(site: Site, accounts: Callable[..., User]) -> None:
    accounts("chief", Role.ADMINISTRATOR)
    app = site.page("accounts", user=accounts("ada"))
    assert "chief" not in said(app)
    assert not app.button


def test_access_is_ended_everywhere(site: Site, accounts: Callable[..., User]) -> None:
    user = accounts("ada")
    elsewhere = site.store.accounts.open_session(user)
    _, secret = site.store.accounts.create_key(user, "script")
    app = site.page("account", user=user)
    own = app.session_state["token"]
    app.button(key="end-access-sure").click().run()
    for token in (elsewhere, own):
        assert site.store.accounts.session_user(token) is None
    with pytest.raises(AuthenticationError):
        site.store.accounts.verify_key(secret)


def test_a_new_password_may_end_the_keys(site: Site, accounts: Callable[..., User]) -> None:
    chief, user = accounts("chief", Role.ADMINISTRATOR), accounts("ada")
    site.store.accounts.create_key(user, "script")
    app = site.page("accounts", user=chief)
    app.checkbox(key=f"password-revoke-{user.id}").set_value(True)
    next(i for i in app.text_input if i.label == "New password").set_value("another good one")
    button(app, "Set password").click().run()
    assert site.store.accounts.keys(user)[0].revoked is not None
    app.button(key=f"end-access-sure-{user.id}").click().run()
    assert not app.exception


def test_users_give_their_keys_no_more_than_the_settings_allow(
    site: Site, accounts: Callable[..., User]
) -> None:
    site.configure(auth=Auth.LOCAL, user_rate=30)
    app = site.page("account", user=accounts("ada"))
    assert (app.number_input[-1].max, app.number_input[-1].value) == (30, 30)
    app = site.page("account", user=accounts("chief", Role.ADMINISTRATOR))
    assert app.number_input[-1].max == 1_000_000


@pytest.mark.parametrize("chinese", [False, True])
def test_administrators_read_the_audit_log(
    site: Site, accounts: Callable[..., User], chinese: bool
) -> None:
    chief, user = accounts("chief", Role.ADMINISTRATOR), accounts("ada")
    site.store.by(chief, "192.0.2.1").accounts.set_active(user.id, False)
    for number in range(60):
        site.store.by(chief, "192.0.2.1").accounts.set_role(user.id, list(Role)[number % 2])
    app = site.page("audit", user=chief, chinese=chinese)
    assert not app.exception
    table = app.dataframe[0].value
    assert len(table) == 50
    assert set(table.iloc[0]) >= {f"chief ({chief.id[:6]})", "192.0.2.1", f"ada ({user.id[:6]})"}
    if chinese:
        return
    app.button(key="audit-older").click().run()
    assert len(app.dataframe[0].value) == 13
    app.selectbox(key="audit-action").set_value(Action.DEACTIVATED).run()
    assert len(app.dataframe[0].value) == 1, "from the first page on"
    app.selectbox(key="audit-account").set_value(chief.id).run()
    assert len(app.dataframe[0].value) == 1
    app.selectbox(key="audit-action").set_value(Action.EXPORTED).run()
    assert not app.dataframe


def test_the_audit_log_is_for_administrators(site: Site, accounts: Callable[..., User]) -> None:
    chief, user = accounts("chief", Role.ADMINISTRATOR), accounts("ada")
    app = site.page("audit", user=user)
    assert not app.dataframe
    assert "chief" not in said(app)
    from trivalent.web.pages.audit import _file

    made = _file(AuditQuery(), "csv", chief.id)
    assert b"account_made" in made()
    accounts("second", Role.ADMINISTRATOR)
    site.store.accounts.set_role(chief.id, Role.USER)
    with pytest.raises(PermissionDeniedError):
        made()
