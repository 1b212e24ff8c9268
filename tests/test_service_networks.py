"""A network that a request names: listed, asked, described, stored and reported as any other model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

import analyses
from recording_networks import HEADS, recording_bundle
from service_tools import TEXT, Local, clip, local_service
from trivalent.bundle.shelf import folder_of
from trivalent.core.types import Modality


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    home = tmp_path_factory.mktemp("home")
    recording_bundle(folder_of(home) / "joined", (Modality.TEXT, Modality.FACE))
    with local_service(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(service: Local) -> TestClient:
    return service.client()


def described(client: TestClient, document: dict[str, Any]) -> None:
    """Compare a document with the description of the service, which names what networks add."""
    description = client.get("/openapi.json").json()
    parts = description["components"]["schemas"]
    assert {"joint", "attention", "prediction_set"} <= parts["UtteranceOut"]["properties"].keys()
    assert not {"joint", "attention", "prediction_set"} & set(parts["UtteranceOut"]["required"])
    schema = {"$ref": "#/components/schemas/AnalysisDocument", "components": description["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def test_it_is_listed_with_what_it_judges(client: TestClient) -> None:
    listed = {m["name"]: m for m in client.get("/v1/models").json()["items"]}
    assert listed["joined"]["modalities"] == ["text", "face"]
    assert listed["joined"]["problem"] is None
    card = client.get("/v1/models/joined").json()
    assert (card["card"], card["modalities"]) == ({"title": "made up"}, ["text", "face"])


def test_a_text_is_judged_by_it(client: TestClient) -> None:
    answer = client.post("/v1/analyses", json={"text": TEXT, "options": {"model": "joined"}})
    assert answer.status_code == 201, answer.text
    document = answer.json()["analysis"]
    (first,) = document["utterances"]
    assert document["model"]["name"] == "joined"
    assert first["attention"] == {"text": [1.0] * HEADS}
    assert "neutral" in first["prediction_set"]
    described(client, document)
    assert client.get(answer.headers["Location"]).json()["analysis"] == document


def test_a_recording_is_queued_for_it(client: TestClient, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.wav").read_bytes()
    answer = client.post(
        "/v1/analyses", files={"file": ("a.wav", data)}, data={"options": '{"model": "joined"}'}
    )
    assert answer.status_code == 202, answer.text


def test_its_analyses_are_kept_whole_and_reported(service: Local, client: TestClient) -> None:
    analysis = analyses.network()
    record = service.store.history(service.store.accounts.local_user()).add(analysis)
    document = client.get(f"/v1/analyses/{record.id}").json()["analysis"]
    assert document == analysis.to_dict()
    described(client, document)
    report = client.get(f"/v1/analyses/{record.id}/report").text
    assert "what the network read, not what decided" in report
