"""What a server refuses, and that whoever goes away frees what was his: doors, limits, disconnects, memory."""

from __future__ import annotations

import contextlib
import gc
import json
import random
import socket
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from benchmarks.garbage import complaint, garbage
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.running import Limits
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.gate import HEADERS
from gpt2lab.server.models import named_sources
from gpt2lab.server.settings import ServerSettings
from live_server import Live, live_server

LONG = {"prompt": "On and on", "max_tokens": 4096, "min_tokens": 4096, "seed": 1}


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@contextlib.contextmanager
def serving(lm: LanguageModel, **settings) -> Iterator[Live]:
    chosen = ServerSettings(port=0, **settings)
    with live_server({"tiny": "tiny"}, settings=chosen, ready={"tiny": lm}) as live:
        httpx2.post(f"{live.url}/v1/completions", json={"prompt": "a", "max_tokens": 1})
        yield live


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def failure(answer: httpx2.Response) -> dict:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def busy(live: Live) -> int:
    statistics = live.model("tiny").scheduler.statistics()
    return statistics.running + statistics.waiting


# ---- doors ---------------------------------------------------------------------------------------------------


def test_a_key_opens_the_api_and_nothing_else_needs_one(lm: LanguageModel) -> None:
    with live_server({"tiny": "tiny"}, settings=ServerSettings(port=0, api_key="sesame"), ready={"tiny": lm}) as live:
        for path in ("/v1/models", "/metrics", "/openapi.json"):
            for headers in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "sesame"}):
                answer = httpx2.get(live.url + path, headers=headers)
                assert answer.status_code == 401
                assert failure(answer)["code"] == "invalid_api_key"
            assert httpx2.get(live.url + path, headers={"Authorization": "Bearer sesame"}).status_code == 200
        assert httpx2.get(f"{live.url}/health").status_code == 200


def test_every_answer_has_the_headers_that_keep_browsers_strict(lm: LanguageModel) -> None:
    with serving(lm) as live:
        answers = [
            httpx2.get(f"{live.url}/health"),
            httpx2.get(f"{live.url}/nothing"),
            httpx2.post(f"{live.url}/v1/completions", json={}),
            httpx2.post(f"{live.url}/v1/completions", json={"stream": True, "max_tokens": 1}),
            httpx2.get(f"{live.url}/health", headers={"Host": "evil.example"}),
        ]
    assert [a.status_code for a in answers] == [200, 404, 200, 200, 403]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "access-control-allow-origin" not in answer.headers
    assert answers[2].headers["Cache-Control"] == "no-store"


def test_foreign_names_and_foreign_pages_are_refused(lm: LanguageModel) -> None:
    with serving(lm) as live:
        port = live.url.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
            answer = httpx2.get(f"{live.url}/v1/models", headers={"Host": host})
            assert answer.status_code in (400, 403)
        assert httpx2.get(f"{live.url}/v1/models", headers={"Host": f"localhost:{port}"}).status_code == 200
        foreign = httpx2.get(f"{live.url}/v1/models", headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert "Pages from elsewhere may not use this server" in failure(foreign)["message"]
        assert httpx2.get(f"{live.url}/v1/models", headers={"Origin": live.url}).status_code == 200
        for origin in ("null", "http://[", "https://evil.example@127.0.0.1"):
            assert httpx2.get(f"{live.url}/v1/models", headers={"Origin": origin}).status_code == 403


def test_cors_where_it_is_asked_for(lm: LanguageModel) -> None:
    with serving(lm, cors=("https://good.example",)) as live:
        good = httpx2.get(f"{live.url}/v1/models", headers={"Origin": "https://good.example"})
        assert good.headers["Access-Control-Allow-Origin"] == "https://good.example"
        asked = {"Origin": "https://good.example", "Access-Control-Request-Method": "POST"}
        assert httpx2.options(f"{live.url}/v1/completions", headers=asked).status_code == 200
        assert httpx2.get(f"{live.url}/v1/models", headers={"Origin": "https://bad.example"}).status_code == 403


def test_pages_are_served_beside_the_api(lm: LanguageModel, tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from gpt2lab.server.app import create_app

    (tmp_path / "index.html").write_text("<h1>here</h1>", encoding="utf-8")
    settings = ServerSettings(api_key="key")
    with TestClient(create_app({"tiny": "tiny"}, settings=settings, pages=tmp_path), "http://127.0.0.1") as client:
        assert client.get("/").text == "<h1>here</h1>"
        assert failure(client.get("/absent.js"))["message"] == "There is nothing at this address."
        assert client.get("/v1/models").status_code == 401


# ---- limits --------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_before_it_is_read(lm: LanguageModel) -> None:
    with serving(lm, max_body_bytes=1000) as live:
        answer = httpx2.post(f"{live.url}/v1/completions", json={"prompt": "a" * 1000})
        assert answer.status_code == 413
        assert failure(answer)["message"] == "The body is larger than the 1000 bytes that are allowed."

        def parts() -> Iterator[bytes]:  # no length is announced
            for _ in range(100):
                yield b" " * 100

        headers = {"Content-Type": "application/json"}
        with contextlib.suppress(httpx2.WriteError, httpx2.ReadError):  # it may close while we still send
            assert httpx2.post(f"{live.url}/v1/completions", content=parts(), headers=headers).status_code == 413
        assert httpx2.post(f"{live.url}/v1/completions", json={"max_tokens": 1}).status_code == 200


def test_a_body_that_never_ends_is_given_up(lm: LanguageModel) -> None:
    with serving(lm, body_seconds=0.2) as live:
        host, port = live.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: 100\r\n\r\n{"
            )
            answer = b"".join(iter(lambda: connection.recv(10_000), b""))  # it closes the connection
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"The request did not arrive within 0.2 seconds." in answer


def test_a_full_queue_says_when_to_come_again(lm: LanguageModel) -> None:
    with serving(lm, engine=Limits(max_running=1, max_waiting=2)) as live, ThreadPoolExecutor(1) as pool:
        with httpx2.stream("POST", f"{live.url}/v1/completions", json={**LONG, "stream": True}) as running:
            lines = running.iter_lines()  # kept: its end would close the connection
            next(lines)
            short = {**LONG, "n": 2, "max_tokens": 3, "min_tokens": 0}
            waiting = pool.submit(httpx2.post, f"{live.url}/v1/completions", json=short)
            wait_until(lambda: busy(live) == 3)
            answer = httpx2.post(f"{live.url}/v1/completions", json=LONG)
            assert answer.status_code == 429
            assert answer.headers["Retry-After"] == "1"
            assert failure(answer)["type"] == "rate_limit_error"
            assert "would pass the limit of 2" in failure(answer)["message"]
        assert waiting.result().status_code == 200


def test_too_many_requests_at_once(lm: LanguageModel) -> None:
    with serving(lm, max_requests=1) as live:
        wait_until(lambda: httpx2.get(f"{live.url}/health").status_code == 200)  # the request before has left
        with httpx2.stream("POST", f"{live.url}/v1/completions", json={**LONG, "stream": True}) as running:
            lines = running.iter_lines()  # kept: its end would close the connection
            next(lines)
            answer = httpx2.get(f"{live.url}/health")
            assert answer.status_code == 429
            assert "Retry-After" in answer.headers
        wait_until(lambda: httpx2.get(f"{live.url}/health").status_code == 200)


def test_an_answer_that_takes_too_long(lm: LanguageModel) -> None:
    with serving(lm, request_seconds=0.05, max_output_tokens=10**6) as live:
        long = {**LONG, "max_tokens": 10**6, "min_tokens": 10**6}
        answer = httpx2.post(f"{live.url}/v1/completions", json=long)
        assert answer.status_code == 503
        assert failure(answer)["code"] == "timeout"
        stream = httpx2.post(f"{live.url}/v1/completions", json={**long, "stream": True}).text
        *_, last, done = [line for line in stream.splitlines() if line]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"
        assert done == "data: [DONE]"
        wait_until(lambda: busy(live) == 0)


# ---- clients that go away ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_place(lm: LanguageModel, stream: bool) -> None:
    with serving(lm, engine=Limits(max_running=2), max_output_tokens=10**6) as live:
        asked = {**LONG, "max_tokens": 10**6, "min_tokens": 10**6, "n": 2, "stream": stream}
        body = json.dumps(asked).encode()
        host, port = live.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            wait_until(lambda: busy(live) == 2)
        wait_until(lambda: busy(live) == 0)
        assert live.model("tiny").scheduler.statistics().ended["stop"] == 2
        assert httpx2.post(f"{live.url}/v1/completions", json={"max_tokens": 2}).status_code == 200


def test_a_client_that_does_not_read_is_let_go(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt2lab.server.gate._SPARE", 0.2)
    with serving(lm, request_seconds=1, max_sequences=64) as live:
        asked = {**LONG, "n": 20, "max_tokens": 4096, "logprobs": 20, "stream": True}  # far more than buffers take
        body = json.dumps(asked).encode()
        host, port = live.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            wait_until(lambda: busy(live) > 0)
            wait_until(lambda: busy(live) == 0)
            entry = live.app.state.pool._entries["tiny"]
            wait_until(lambda: entry.users == 0)


# ---- several models ------------------------------------------------------------------------------------------


def weights_of(model: Path) -> int:
    """Return what a model's weights take when they are packed."""
    backend = LanguageModel.load(str(model), threads=1).backend
    assert isinstance(backend, NativeBackend)
    return backend.weight_bytes


def test_the_model_that_was_not_asked_for_longest_goes_when_memory_is_short(random_model: Path) -> None:
    sources = named_sources([f"{name}={random_model}" for name in "abc"])
    size = weights_of(random_model)
    settings = ServerSettings(port=0, memory_bytes=int(size * 2.5), prefix_bytes=0)

    with live_server(sources, settings=settings) as live:

        def ask(name: str) -> str:
            asked = {"model": name, "prompt": "the", "seed": 1, "max_tokens": 5}
            answer = httpx2.post(f"{live.url}/v1/completions", json=asked)
            assert answer.status_code == 200, answer.text
            return answer.json()["choices"][0]["text"]

        def loaded() -> set[str]:
            models = httpx2.get(f"{live.url}/v1/models").json()["data"]
            return {model["id"] for model in models if model["loaded"]}

        assert loaded() == set()
        first = ask("a")
        assert ask("b") == first
        assert loaded() == {"a", "b"}
        held = weakref.ref(live.model("b").lm.backend)
        ask("a")
        ask("c")
        assert loaded() == {"a", "c"}
        gc.collect()
        assert held() is None  # its memory is free
        ended = live.app.state.pool.statistics()["b"]
        assert ended[0] is None
        assert ended[1]["new_tokens"] == 5  # what a model did before it went is not forgotten


def test_a_model_that_answers_somebody_stays(random_model: Path) -> None:
    sources = named_sources([f"{name}={random_model}" for name in "ab"])
    size = weights_of(random_model)
    settings = ServerSettings(port=0, memory_bytes=int(size * 1.5), prefix_bytes=0, max_output_tokens=10**6)
    with live_server(sources, settings=settings) as live, ThreadPoolExecutor(2) as pool:

        def ask(name: str, count: int) -> httpx2.Response:
            asked = {"model": name, "max_tokens": count, "min_tokens": count, "seed": 1}
            return httpx2.post(f"{live.url}/v1/completions", json=asked, timeout=120)

        one = pool.submit(ask, "a", 20_000)
        wait_until(lambda: live.app.state.pool.loaded("a") is not None)
        other = pool.submit(ask, "b", 2)
        assert one.result().json()["usage"]["completion_tokens"] == 20_000
        assert other.result().status_code == 200
        assert live.app.state.pool.loaded("a") is None


def test_a_model_that_cannot_be_loaded_is_told(lm: LanguageModel, tmp_path: Path) -> None:
    sources = {"tiny": "tiny", "gone": str(tmp_path / "gone")}
    with live_server(sources, ready={"tiny": lm}) as live:
        for _ in range(2):
            answer = httpx2.post(f"{live.url}/v1/completions", json={"model": "gone"})
            assert answer.status_code == 503
            assert failure(answer)["code"] == "model_unavailable"
            assert "does not exist" in failure(answer)["message"]
        assert httpx2.post(f"{live.url}/v1/completions", json={"max_tokens": 1}).status_code == 200


# ---- garbage -------------------------------------------------------------------------------------------------


def test_garbage_is_never_a_failure_of_the_server(lm: LanguageModel) -> None:
    """A few hundred; benchmarks/garbage.py sends as many as one likes."""
    rng = random.Random(1)
    codes = Counter[int]()
    with serving(lm) as live, httpx2.Client(base_url=live.url, timeout=60) as client:
        for _ in range(300):
            path, body = garbage(rng)
            answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
            assert not complaint(path, body, answer.status_code, answer.content)
            codes[answer.status_code] += 1
        assert busy(live) == 0
    assert codes[400] > 100
    assert codes[200] > 30
