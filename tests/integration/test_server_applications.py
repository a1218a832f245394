"""What the server tells the pages of articles and of detection: equal to the library's, and clear where it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gpt2lab.apps.articles.write import write_field
from gpt2lab.apps.detect.page import shown
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.trained import default_for
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.settings import ServerSettings
from live_server import Live, live_server

TEXT = "The old sailor opened the door of the little house, and looked for a long time at the sea.\n\nIt was grey. " * 4


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def both(article_model: Path) -> Iterator[Live]:
    """A server of the embedded model and one that knows the fields of articles; none is loaded."""
    settings = ServerSettings(port=0, max_prompt_tokens=600)
    with live_server({"tiny": "tiny", "news": str(article_model)}, settings=settings) as server:
        yield server


def post(live: Live, path: str, **body) -> httpx2.Response:
    return httpx2.post(f"{live.url}{path}", json=body, timeout=60)


# ---- detection -----------------------------------------------------------------------------------------------


def test_the_answer_is_the_librarys(live: Live, lm: LanguageModel) -> None:
    answer = post(live, "/api/detect", text=TEXT).json()
    reader = Reader(lm, name="tiny")
    detector = default_for(reader)
    assert detector is not None
    reading = reader.read(TEXT, top=10)
    verdict = detector.judge(reading)
    expected = shown(reader.tokenizer.token_text, "tiny", reading, verdict, detector)
    assert answer["about"] | {"methods": 0} == expected["about"] | {"methods": 0}
    for name, method in expected["about"]["methods"].items():
        assert answer["about"]["methods"][name] == pytest.approx(method, abs=1e-4)
    assert answer["about"]["probability"] == verdict.probability is not None
    assert "".join(t["before"] + t["text"] for t in answer["tokens"]) + answer["after"] == TEXT
    assert [t["rank"] for t in answer["tokens"]] == reading.moments.ranks.tolist()
    assert all(len(t["top"]) == 5 and 0 <= t["entropy"] <= 2.31 for t in answer["tokens"])


def test_a_short_text_gets_no_verdict_and_a_blank_one_a_sentence(live: Live) -> None:
    about = post(live, "/api/detect", text="Only a few words.").json()["about"]
    assert (about["verdict"], about["probability"]) == ("too short", None)
    assert all("human_percentile" not in m for m in about["methods"].values())
    refused = post(live, "/api/detect", text=" \n ")
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("There is no text to measure")


def test_a_model_without_a_detector_measures_alone_and_too_long_is_too_long(both: Live) -> None:
    about = post(both, "/api/detect", text=TEXT, model="news").json()["about"]
    assert about["verdict"] is about["detector"] is None
    assert set(about["methods"]) >= {"likelihood", "fast_detectgpt", "binoculars"}
    refused = post(both, "/api/detect", text="word " * 700, model="tiny")
    assert refused.status_code == 400
    assert "at most 600 are allowed" in refused.json()["error"]["message"]


# ---- articles ------------------------------------------------------------------------------------------------

GIVEN = {"title": "a grey cat", "domain": "example.com", "date": "2019-04-19"}


def test_which_models_know_fields_is_said_without_loading_any(both: Live) -> None:
    assert httpx2.get(f"{both.url}/api/article").json()["models"] == ["news"]


def test_a_field_is_what_the_library_writes_whole_and_in_pieces(both: Live, article_model: Path) -> None:
    asked = {"model": "news", "target": "authors", **GIVEN, "seed": 5, "max_tokens": 9}
    whole = post(both, "/api/article", **asked).json()
    (expected,) = write_field(
        LanguageModel.load(article_model, threads=1), GIVEN | {"date": "April 19, 2019"}, "authors", seed=5, length=9
    )
    assert whole == {
        "model": "news", "target": "authors", "cut": 0, "seed": 5, "text": expected.text,
        "complete": expected.complete,
    }  # fmt: skip
    streamed = post(both, "/api/article", **asked, stream=True)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = streamed.text.strip().split("\n\n")
    assert events.pop() == "data: [DONE]"
    choices = [json.loads(e.removeprefix("data: "))["choices"][0] for e in events]
    assert "".join(c["text"] for c in choices) == expected.text
    assert [c["finish_reason"] for c in choices][-1] == ("stop" if expected.complete else "length")


def test_a_long_body_is_cut_and_said(both: Live) -> None:
    written = post(both, "/api/article", model="news", target="title", article="the old sailor. " * 60, max_tokens=3)
    assert written.json()["cut"] > 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "tiny", "target": "title"}, "train one with gpt2lab article train"),
        ({"model": "news", "target": "title", "date": "13-45-2019"}, "has no month 13"),
        ({"model": "news", "target": "headline"}, "target = 'headline' is not possible"),
        ({"model": "news", "target": "title", "article": "word " * 900}, "at most 600 are allowed"),
        ({"model": "news", "target": "title", "max_tokens": 10**6}, "max_tokens = 1000000 is more than the 4096"),
    ],
    ids=["no fields", "no date", "no field", "too long", "too many"],
)
def test_what_cannot_be_asked_is_said(both: Live, asked: dict, said: str) -> None:
    refused = post(both, "/api/article", **asked)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
