"""The API does what its own description says: Schemathesis makes requests from /openapi.json, right and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, settings

from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.app import create_app
from gpt2lab.server.settings import ServerSettings
from live_server import Live, live_server

schemathesis = pytest.importorskip("schemathesis")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

PATHS = {
    "/v1/completions", "/v1/models", "/v1/models/{name}", "/v1/embeddings", "/api/next", "/api/analyze", "/health",
    "/metrics",
}  # fmt: skip
SETTINGS = ServerSettings(port=0, max_output_tokens=8, max_prompt_tokens=200)
"""Small limits: what is tried is the door, not the engine."""

described = create_app({"tiny": "tiny"}, settings=SETTINGS).openapi()
schema = schemathesis.openapi.from_dict(described)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    ready = {"tiny": LanguageModel.load("tiny", threads=1)}
    with live_server({"tiny": "tiny"}, settings=SETTINGS, ready=ready) as server:
        yield server


def checks() -> list:
    """Return the checks that a description decides; what a schema cannot say (best_of >= n) is refused all the same."""
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as of_openapi

    return [
        checks.not_a_server_error, of_openapi.status_code_conformance, of_openapi.content_type_conformance,
        of_openapi.response_schema_conformance, of_openapi.negative_data_rejection, of_openapi.unsupported_method,
        of_openapi.missing_required_header, of_openapi.response_headers_conformance,
    ]  # fmt: skip


@schema.parametrize()
@settings(
    max_examples=15, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_requests_made_from_the_description(case, live: Live) -> None:
    case.call_and_validate(base_url=live.url, checks=checks())


def test_everything_is_described(live: Live) -> None:
    assert httpx2.get(f"{live.url}/openapi.json").json() == described
    assert set(described["paths"]) >= PATHS
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "4XX" in operation["responses"], (method, path)
