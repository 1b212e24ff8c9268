"""Generated requests against the OpenAPI description: every answer is one that it describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service_tools import Local, clip, with_accounts

EXAMPLES = 15  # requests for each operation, and each of valid and invalid
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


# A text of signs, bytes that no decoder opens or a cursor of no page fit the schema, and are refused.
BESIDES_THE_SCHEMA: dict[str, list] = {
    "POST /v1/analyses": [positive_data_acceptance],
    "GET /v1/analyses": [positive_data_acceptance],
    "GET /v1/jobs": [positive_data_acceptance],
    "GET /readyz": [not_a_server_error],  # the workers of this test do not run: 503 is right
}


class Described:
    """A service with some content, its description, and requests made from it."""

    def __init__(self, service: Local, clips: Path) -> None:
        self.app = service.app
        self.headers = {
            "Host": "localhost",
            "Authorization": f"Bearer {service.account('Ann', per_minute=1_000_000)}",
        }
        client = service.client(self.headers["Authorization"].removeprefix("Bearer "))
        analysis = client.post("/v1/analyses", json={"text": "I love it."}).json()["id"]
        sound = clip(clips / "clip.wav").read_bytes()
        job = client.post("/v1/analyses", files={"file": ("a.wav", sound)}).json()["id"]
        self.ids = {"analysis_id": analysis, "job_id": job, "name": "default"}
        schema = schemathesis.openapi.from_asgi("/openapi.json", self.app, headers=self.headers)
        self.operations = {o.label: o for o in (r.ok() for r in schema.get_all_operations())}

    def check(self, label: str, mode: GenerationMode, **given_ids: Any) -> None:
        """Send generated requests of one operation and compare the answers with the description."""

        @FEW
        @given(case=self.operations[label].as_strategy(mode, **given_ids))
        def test(case: Any) -> None:
            case.call_and_validate(headers=self.headers, excluded_checks=BESIDES_THE_SCHEMA.get(label, []))

        test()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    home = tmp_path_factory.mktemp("home")
    with with_accounts(home, max_upload_mb=0.1, queue_limit=10_000) as service:
        yield Described(service, tmp_path_factory.mktemp("clips"))


LABELS = [
    "POST /v1/analyses",
    "GET /v1/analyses",
    "GET /v1/analyses/{analysis_id}",
    "PATCH /v1/analyses/{analysis_id}",
    "GET /v1/analyses/{analysis_id}/report",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "POST /v1/jobs/{job_id}/cancel",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "GET /v1/me",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    # last: they take away what the others find
    "DELETE /v1/analyses/{analysis_id}",
    "DELETE /v1/me/data",
]


WITHOUT_PARAMETERS = {"GET /healthz", "GET /readyz"}  # nor a key: no request can be wrong


def test_every_operation_is_here(described: Described) -> None:
    assert set(described.operations) == set(LABELS)


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        (label, mode)
        for label in LABELS
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or label not in WITHOUT_PARAMETERS
    ],
    ids=str,
)
def test_answers_are_as_described(described: Described, label: str, mode: GenerationMode) -> None:
    described.check(label, mode)
    names = [n for n in described.ids if f"{{{n}}}" in label]
    if names and mode is GenerationMode.POSITIVE:  # a generated id leads nowhere
        described.check(label, mode, path_parameters={n: described.ids[n] for n in names})
