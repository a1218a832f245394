"""docs/serving.md names addresses, parameters, metrics and limits as they are."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.cluster import ClusterOptions
from gpt2lab.server.schemas import PARAMETERS, CompletionRequest
from gpt2lab.server.settings import ServerSettings
from live_server import live_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_addresses_and_metrics_are_there() -> None:
    with live_server({"tiny": "tiny"}, ready={"tiny": LanguageModel.load("tiny", threads=1)}) as live:
        httpx2.post(f"{live.url}/v1/completions", json={"max_tokens": 1})
        described = httpx2.get(f"{live.url}/openapi.json").json()["paths"]
        metrics = httpx2.get(f"{live.url}/metrics").text
    shown = re.findall(r"`(GET|POST) ([^`]+)`", section("Asking"))
    assert {path for _, path in shown} == set(described) | {"/openapi.json"}
    for method, path in shown:
        assert path == "/openapi.json" or method.lower() in described[path]
    for name in re.findall(r"`(gpt2lab_\w+)`", section("Metrics")):
        assert re.search(rf"^{name}(_count)?[ {{]", metrics, re.MULTILINE), name


def test_every_parameter_of_completions_is_named() -> None:
    text = section("What is as with OpenAI, and what is not")
    assert [name for name in CompletionRequest.model_fields if f"`{name}`" not in text] == []
    assert set(re.findall(r"`(\w+_\w+)`", text)) <= {*PARAMETERS}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-prompt-tokens", "max_prompt_tokens"), ("--max-output-tokens", "max_output_tokens"),
        ("--timeout", "request_seconds"),
    ],
)  # fmt: skip
def test_limits_are_the_defaults(option: str, value: str) -> None:
    (shown,) = re.findall(rf"`{option}` \| (\d+)", PAGE)
    assert int(shown) == getattr(ServerSettings(), value)


def test_other_limits() -> None:
    settings = ServerSettings()
    assert (settings.max_body_bytes, settings.body_seconds) == (2**20, 30)
    assert f"| {settings.max_sequences} |" in PAGE
    assert f"| {settings.max_requests} |" in PAGE
    assert f"`--max-running` | {settings.engine.max_running} |" in PAGE
    assert f"`--max-waiting` | {settings.engine.max_waiting} |" in PAGE


def test_the_clusters_arguments_are_its_options() -> None:
    (line,) = re.findall(r"serve run gpt2lab\.server\.cluster:application (.+)", PAGE)
    given = dict(word.split("=") for word in line.split())
    assert ClusterOptions.model_validate(given).max_replicas == 8
