"""Two accounts: whatever id one asks for, nothing of the other is seen, changed or deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service_tools import NOT_AN_ID, TEXT, Local, clip, with_accounts
from trivalent.store import Role

PUBLIC = {("GET", "/healthz"), ("GET", "/readyz")}
SHARED = {("GET", "/v1/models"), ("GET", "/v1/models/{name}")}  # the server's, the same for all


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with with_accounts(tmp_path_factory.mktemp("home")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(service: Local, tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, TestClient, dict]:
    """Clients of Ann and Bob, and the ids of what belongs to Ann."""
    ann, bob = (service.client(service.account(name)) for name in ("Ann", "Bob"))
    analysis = ann.post("/v1/analyses", json={"text": f"{TEXT} secret", "tags": ["secret"]}).json()["id"]
    data = clip(tmp_path_factory.mktemp("clips") / "clip.wav").read_bytes()
    job = ann.post("/v1/analyses", files={"file": ("secret.wav", data)}).json()["id"]
    return ann, bob, {"analysis_id": analysis, "job_id": job, "name": "default"}


def operations(service: Local) -> list[tuple[str, str]]:
    return [(m.upper(), path) for path, ms in service.app.openapi()["paths"].items() for m in ms]


def test_every_operation_keeps_to_its_owner(service: Local, pair: tuple) -> None:
    """Also those that are added later: the list is that of the OpenAPI description."""
    ann, bob, ids = pair
    before = [ann.get(path).json() for path in ("/v1/analyses", "/v1/jobs")]
    asked = 0
    for method, path in operations(service):
        if (method, path) in PUBLIC | SHARED | {("POST", "/v1/analyses")}:
            continue
        body = {"json": {"name": "mine now"}} if method == "PATCH" else {}
        theirs = bob.request(method, path.format(**ids), **body)
        assert "secret" not in theirs.text, (method, path)
        if "_id}" in path:
            none = {**ids, "analysis_id": NOT_AN_ID, "job_id": NOT_AN_ID}
            absent = bob.request(method, path.format(**none), **body)
            assert theirs.status_code == absent.status_code == 404, (method, path)
            assert _shape(theirs.json(), ids) == _shape(absent.json(), none), "not told apart"
            asked += 1
    assert asked == 6
    assert [ann.get(path).json() for path in ("/v1/analyses", "/v1/jobs")] == before


def _shape(problem: dict, ids: dict) -> str:
    text = json.dumps({k: v for k, v in problem.items() if k != "instance"})
    for value in ids.values():
        text = text.replace(value, "ID")
    return text


def test_searches_and_cursors_of_another_find_nothing(pair: tuple) -> None:
    ann, bob, _ = pair
    ann.post("/v1/analyses", json={"text": TEXT})
    cursor = ann.get("/v1/analyses", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    for params in ({"text": "secret"}, {"tag": "secret"}, {"cursor": cursor}, {"order": "name"}):
        page = bob.get("/v1/analyses", params=params).json()
        assert (page["items"], page["total"]) == ([], 0), params


def test_without_a_key_nothing_is_answered(service: Local, pair: tuple) -> None:
    nobody = service.client()
    for method, path in operations(service):
        answer = nobody.request(method, path.format(**pair[2]))
        if (method, path) in PUBLIC:
            assert answer.status_code in (200, 503)
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer tv_no", "Basic dXNlcjpwYXNz", "tv_no", "Bearer é"])
def test_wrong_keys(service: Local, header: str) -> None:
    answer = service.client().get("/v1/me", headers={"Authorization": header.encode()})
    assert answer.status_code == 401


def test_keys_end_when_they_are_revoked_or_the_account_is_closed(service: Local) -> None:
    accounts = service.store.accounts
    carl = service.client(service.account("Carl"))
    assert carl.get("/v1/me").json() == {"name": "Carl", "role": "user"}
    (user,) = [u for u in accounts.users() if u.name == "Carl"]
    accounts.set_active(user.id, False)
    assert carl.get("/v1/me").status_code == 401
    accounts.set_active(user.id, True)
    assert carl.get("/v1/me").status_code == 200
    (key,) = accounts.keys(user)
    accounts.revoke_key(user, key.id)
    assert carl.get("/v1/me").status_code == 401


def test_the_metrics_are_for_administrators(service: Local, pair: tuple) -> None:
    assert pair[0].get("/metrics").status_code == 403
    chief = service.client(service.account("Chief", role=Role.ADMINISTRATOR))
    answer = chief.get("/metrics")
    assert answer.status_code == 200
    assert 'trivalent_analyses{label="positive"}' in answer.text


def test_one_deletes_only_their_own(service: Local, pair: tuple, tmp_path: Path) -> None:
    ann, bob, ids = pair
    bob.post("/v1/analyses", json={"text": TEXT})
    assert bob.delete("/v1/me/data").json()["analyses"] == 1
    assert ann.get(f"/v1/analyses/{ids['analysis_id']}").status_code == 200
    assert bob.get("/v1/analyses").json()["total"] == 0


def test_the_description_names_the_key(service: Local) -> None:
    description = service.app.openapi()
    assert "securitySchemes" in description["components"]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert ("security" in operation) == ((method.upper(), path) not in PUBLIC)
