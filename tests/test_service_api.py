"""The REST service: texts, jobs, history, models, in one process without accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service_tools import NOT_AN_ID, TEXT, Local, clip, local_service
from trivalent.bundle.loading import load_bundle
from trivalent.core.analysis import Analysis
from trivalent.core.options import AnalyzerOptions
from trivalent.core.types import LABELS
from trivalent.service import submission
from trivalent.service.schemas import MediaOptions
from trivalent.store import JobState
from trivalent.work.pool import SMALL_TEXT


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with local_service(tmp_path_factory.mktemp("home"), queue_limit=3) as opened:
        yield opened


@pytest.fixture
def client(service: Local) -> Iterator[TestClient]:
    """A client of an empty history."""
    opened = service.client()
    assert opened.delete("/v1/me/data").status_code == 200
    yield opened
    opened.delete("/v1/me/data")


def post_text(client: TestClient, text: str = TEXT, **more: object) -> dict:
    answer = client.post("/v1/analyses", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def post_clip(client: TestClient, tmp_path: Path, name: str = "a.wav", **fields: object) -> dict:
    data = clip(tmp_path / "clip.wav").read_bytes()
    answer = client.post("/v1/analyses", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    return answer.json()


def test_a_text_is_answered_at_once(client: TestClient) -> None:
    answer = client.post("/v1/analyses", json={"text": TEXT, "name": "review 17", "tags": ["b", "a"]})
    document = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/analyses/{document['id']}"
    assert (document["name"], document["tags"]) == ("review 17", ["a", "b"])
    assert set(document) == {"id", "created", "name", "tags", "analysis"}
    analysis = document["analysis"]
    assert (analysis["schema"], analysis["overall"]["label"]) == ("trivalent.analysis/1", "positive")
    assert Analysis.from_dict(analysis).to_dict() == analysis
    again = client.get(answer.headers["Location"])
    assert (again.status_code, again.json()) == (200, document)


def test_one_bad_text_fails_alone(client: TestClient) -> None:
    refused = client.post("/v1/analyses", json={"text": "!!! ???"})
    assert refused.status_code == 422
    assert refused.json()["type"] == "/docs#problem-unusable"
    assert client.get("/v1/analyses").json()["total"] == 0
    post_text(client)


def test_too_many_texts_at_a_time_are_refused(service: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = service.app.state.service
    with monkeypatch.context() as patched:
        patched.setattr(shared.pool, "waiting", 0)
        answer = service.client().post("/v1/analyses", json={"text": TEXT})
    assert answer.status_code == 503
    assert answer.json()["type"] == "/docs#problem-queue-full"
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_long_text_is_a_job(client: TestClient) -> None:
    """So that nobody's few words wait for it, and nobody waits for it with a connection open."""
    text = "It was bad. " * (SMALL_TEXT // 12 + 1)
    answer = client.post("/v1/analyses", json={"text": text, "name": "minutes", "tags": ["long"]})
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/jobs/{answer.json()['id']}")
    job = client.get(answer.headers["Location"]).json()
    assert (job["name"], job["state"]) == ("minutes", "queued")
    assert client.post("/v1/analyses", json={"text": text[:SMALL_TEXT]}).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "location"),
    [
        (b"{", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 100_000, 400, None),
        (b"{}", 422, "body.text"),
        (b'{"text": ""}', 422, "body.text"),
        (b'{"text": 7}', 422, "body.text"),
        (b'{"text": "yes", "colour": "red"}', 422, "body.colour"),
        (b'{"text": "yes", "name": " "}', 422, "body.name"),
        (b'{"text": "yes", "name": "a\\u0000b"}', 422, "body.name"),
        (b'{"text": "yes", "tags": ["\\n"]}', 422, "body.tags.0"),
        (b'{"text": "yes", "options": {"prior": [0.5, 0.5]}}', 422, "body.options.prior"),
        (b'{"text": "yes", "options": {"prior": [0.5, 0.5, 0.5]}}', 422, "body.options.prior"),
        (b'{"text": "yes", "options": {"prior": [0.5, 0.5, 0]}}', 422, "body.options.prior.2"),
        (json.dumps({"text": "x" * 200_001}).encode(), 422, "body.text"),
        (b'{"text": "' + b"x" * 3_000_001 + b'"}', 413, None),
    ],
)
def test_bodies_that_break_the_schema(
    client: TestClient, body: bytes, status: int, location: str | None
) -> None:
    answer = client.post("/v1/analyses", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    if location is not None:
        assert location in [e["location"] for e in problem["errors"]]
    assert "xxxx" not in answer.text, "what was sent is not repeated"


def test_the_model_is_one_of_the_server(client: TestClient) -> None:
    assert post_text(client, options={"model": "default"})["analysis"]["model"]["name"] == "default"
    for name in ("absent", "../default", "/etc"):
        answer = client.post("/v1/analyses", json={"text": TEXT, "options": {"model": name}})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["location"] == "body.options.model"
    listed = client.get("/v1/models").json()["items"]
    assert [m["name"] for m in listed if m["default"]] == ["default"]
    card = client.get("/v1/models/default").json()
    assert card["card"]
    assert card["modalities"] == ["text", "audio", "face"]
    assert client.get("/v1/models/absent").status_code == 404


def test_the_list_has_pages_and_filters(client: TestClient) -> None:
    texts = ["I love it.", "I hate it.", "It is a table.", "A wonderful day.", "An awful mess."]
    for i, text in enumerate(texts):
        post_text(client, text, name=f"text {i}", tags=["odd"] if i % 2 else [])
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "order": "oldest"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/analyses", params=params).json()
        assert page["total"] == 5
        seen += [item["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"text {i}" for i in range(5)]

    def names(**params: object) -> set[str]:
        answer = client.get("/v1/analyses", params=params)
        assert answer.status_code == 200, answer.text
        return {item["name"] for item in answer.json()["items"]}

    assert names(tag="odd") == {"text 1", "text 3"}
    assert names(text="awful") == {"text 4"}
    assert names(label=["positive", "negative"]) >= {"text 0", "text 1"}
    assert names(kind="video") == set()
    assert names(origin="api", model="default", since="2020-01-01") == {f"text {i}" for i in range(5)}
    assert names(until="2020-01-01T00:00:00Z") == set()
    for wrong in ({"cursor": "???"}, {"limit": 0}, {"label": "happy"}, {"since": "0001-01-01T00:00+20:00"}):
        assert client.get("/v1/analyses", params=wrong).status_code == 422, wrong


def test_rename_tag_and_delete(client: TestClient) -> None:
    found = post_text(client)
    where = f"/v1/analyses/{found['id']}"
    changed = client.patch(where, json={"name": "first take", "tags": ["keep"]}).json()
    assert (changed["name"], changed["tags"]) == ("first take", ["keep"])
    assert client.patch(where, json={"tags": []}).json()["name"] == "first take"
    assert client.patch(where, json={"label": "positive"}).status_code == 422
    assert client.delete(where).status_code == 204
    for answer in (client.get(where), client.delete(where), client.patch(where, json={})):
        assert answer.status_code == 404


def test_the_report_is_one_page(client: TestClient) -> None:
    found = post_text(client, "<script>alert(1)</script> I love it.", name="<b>x</b>")
    answer = client.get(f"/v1/analyses/{found['id']}/report")
    assert answer.headers["content-type"].startswith("text/html")
    assert "<script" not in answer.text
    assert "<b>x</b>" not in answer.text
    assert "Limits" in answer.text or "limits" in answer.text, "the card of the model is in it"


def test_the_options_of_a_request_are_those_of_the_analyzer() -> None:
    asked = set(MediaOptions.model_fields) - {"transcript"}
    assert asked <= {field.name for field in fields(AnalyzerOptions)}


def test_the_classes_that_are_expected(service: Local, client: TestClient, tmp_path: Path) -> None:
    """They decide a text at once, go with a job, and stand in the result and its report."""
    usual, rare = post_text(client), post_text(client, options={"prior": [0.6, 0.3, 0.1]})
    told = [found["analysis"]["decided_with"]["prior"] for found in (usual, rare)]
    assert told[0] == dict(zip(LABELS, load_bundle("default").fusion.prior.tolist(), strict=True))
    assert told[1] == {"negative": 0.6, "neutral": 0.3, "positive": 0.1}
    positive = [f["analysis"]["overall"]["probabilities"]["positive"] for f in (usual, rare)]
    assert positive[1] < positive[0]
    assert "Expected mix: negative 60 %" in client.get(f"/v1/analyses/{rare['id']}/report").text
    job = post_clip(client, tmp_path, options=json.dumps({"prior": [0.2, 0.5, 0.3]}))
    stored = service.store.jobs.get(service.store.accounts.local_user(), job["id"])
    assert AnalyzerOptions.from_dict(stored.options).prior == (0.2, 0.5, 0.3)


def test_a_recording_becomes_a_job(client: TestClient, tmp_path: Path) -> None:
    options = {"modalities": ["audio"], "transcript": "All is well.", "whisper": "tiny.en"}
    job = post_clip(client, tmp_path, options=json.dumps(options), tags=["x", "y"], name="shown.wav")
    assert (job["name"], job["state"], job["position"]) == ("shown.wav", "queued", 1)
    second = post_clip(client, tmp_path)
    assert second["position"] == 2
    where = f"/v1/jobs/{job['id']}"
    asked = client.get(where)
    assert asked.json() == job
    assert "Location" not in asked.headers
    page = client.get("/v1/jobs", params={"state": "queued", "limit": 1}).json()
    assert ([j["id"] for j in page["items"]], page["total"]) == ([second["id"]], 2)
    following = client.get("/v1/jobs", params={"state": "queued", "cursor": page["next_cursor"]}).json()
    assert [j["id"] for j in following["items"]] == [job["id"]]
    cancelled = client.post(f"{where}/cancel").json()
    assert (cancelled["state"], cancelled["position"]) == ("cancelled", None)
    assert client.post(f"{where}/cancel").json()["state"] == "cancelled"
    assert client.get(f"/v1/jobs/{second['id']}").json()["position"] == 1
    assert client.get(f"/v1/jobs/{NOT_AN_ID}").status_code == 404


def test_a_job_that_is_done_says_where_its_analysis_is(
    service: Local, client: TestClient, tmp_path: Path
) -> None:
    analysis = Analysis.from_dict(post_text(client)["analysis"])
    job = post_clip(client, tmp_path, tags=["take"], keep_media="true")
    claim = service.store.jobs.claim("test", lease_s=60)
    assert claim is not None
    service.store.jobs.finish(claim, analysis)
    asked = client.get(f"/v1/jobs/{job['id']}")
    assert asked.json()["state"] == "done"
    assert asked.headers["Location"] == asked.json()["analysis"]
    found = client.get(asked.headers["Location"])
    assert found.json()["tags"] == ["take"]
    (record,) = [r for r in client.get("/v1/analyses").json()["items"] if r["name"] == "a.wav"]
    assert record["has_media"]


@pytest.mark.parametrize(
    "fields",
    [
        {"options": "{"},
        {"options": '{"modalities": []}'},
        {"options": '{"modalities": ["smell"]}'},
        {"options": '{"face_rate_hz": 1e9}'},
        {"options": '{"whisper": "/etc/passwd"}'},
        {"options": '{"threads": 64}'},
        {"options": '{"model": "../default"}'},
        {"options": ["{}", "{}"]},
        {"keep_media": "perhaps"},
        {"colour": "red"},
        {"name": "\n"},
    ],
)
def test_fields_of_a_form_that_break_the_schema(client: TestClient, tmp_path: Path, fields: dict) -> None:
    data = clip(tmp_path / "clip.wav").read_bytes()
    answer = client.post("/v1/analyses", files={"file": ("a.wav", data)}, data=fields)
    assert answer.status_code in (400, 422), answer.text
    assert client.get("/v1/jobs").json()["total"] == 0


@pytest.mark.parametrize("field", ["audio", "media", "files[]"])
def test_a_file_in_another_field(client: TestClient, tmp_path: Path, field: str) -> None:
    data = clip(tmp_path / "clip.wav").read_bytes()
    answer = client.post("/v1/analyses", files={field: ("a.wav", data)})
    assert answer.status_code == 422
    assert f"expected a file in the field `file`, got one in '{field}'" in answer.text
    options = {"options": ("options.json", b'{"modalities": ["text"]}')}  # as curl sends -F options=@FILE
    assert client.post("/v1/analyses", files={"file": ("a.wav", data), **options}).status_code == 202


def test_a_recogniser_that_would_be_downloaded_is_refused(client: TestClient, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.wav").read_bytes()
    form = {"options": '{"whisper": "large-v3"}'}
    answer = client.post("/v1/analyses", files={"file": ("a.wav", data)}, data=form)
    assert (answer.status_code, answer.json()["type"]) == (422, "/docs#problem-invalid")


def test_a_full_queue_says_when_to_come_back(service: Local, client: TestClient, tmp_path: Path) -> None:
    for _ in range(3):
        post_clip(client, tmp_path)
    answer = client.post("/v1/analyses", files={"file": ("a.wav", b"RIFF")})
    assert (answer.status_code, answer.json()["type"]) == (503, "/docs#problem-queue-full")
    assert answer.headers["Retry-After"] == "10", "nothing was measured yet"
    assert client.get("/readyz").json()["queue"] is False
    post_text(client)  # texts have a queue of their own
    assert service.store.jobs.counts()[JobState.QUEUED] == 3


def test_retry_after_is_measured(service: Local, client: TestClient, tmp_path: Path) -> None:
    analysis = Analysis.from_dict(post_text(client)["analysis"])
    post_clip(client, tmp_path)
    claim = service.store.jobs.claim("test", lease_s=60)
    assert claim is not None
    service.store.jobs.finish(claim, analysis)
    shared, user = service.app.state.service, service.store.accounts.local_user()
    (job,) = service.store.jobs.list(user, states=(JobState.DONE,)).jobs
    assert job.finished is not None
    assert job.started is not None
    spent = (job.finished - job.started).total_seconds()
    assert submission.usual_seconds(shared, user) == pytest.approx(spent)


def test_all_my_data_are_deleted(service: Local, client: TestClient, tmp_path: Path) -> None:
    post_text(client)
    post_clip(client, tmp_path)
    assert client.delete("/v1/me/data").json() == {
        "analyses": 1,
        "jobs": 1,
        "media": 0,
        "uploads": 1,
        "temporary": 0,
        "overwritten": True,
    }
    assert client.get("/v1/analyses").json()["total"] == client.get("/v1/jobs").json()["total"] == 0
    assert not [p for p in service.settings.home.glob("spool*/*") if p.is_file()]


def test_health_readiness_and_metrics(service: Local, client: TestClient, tmp_path: Path) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 503, "the workers of this test do not run"
    assert ready.json() == {
        "status": "not ready",
        "database": True,
        "workers": False,
        "storage": True,
        "queue": True,
    }
    post_text(client)
    post_clip(client, tmp_path)
    client.get("/v1/analyses/" + NOT_AN_ID)
    client.get("/no/such/page")
    figures = client.get("/metrics").text
    for line in (
        'trivalent_http_requests_total{method="GET",route="/v1/analyses/{analysis_id}",status="404"}',
        'trivalent_http_requests_total{method="GET",route="unmatched",status="404"}',
        'trivalent_http_request_seconds_bucket{le="0.05",method="POST",route="/v1/analyses"}',
        'trivalent_jobs{state="queued"} 1.0',
        'trivalent_analyses{label="positive"} 1.0',
    ):
        assert line in figures
    assert NOT_AN_ID not in figures
    assert "such" not in figures


def test_the_documentation_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    description = client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        assert path in page.text
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page.text
    assert 'id="problem-too-large"' in page.text
    assert client.get("/redoc").status_code == 404
    text = json.dumps(description)
    assert "securitySchemes" not in text
    assert "HTTPValidationError" not in text


def test_times_are_utc(client: TestClient) -> None:
    created = datetime.fromisoformat(post_text(client)["created"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
    assert created.utcoffset() is not None
