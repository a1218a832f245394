"""The server as a Ray Serve deployment on a Ray of this machine; runs where Ray is installed (`gpt2lab[cluster]`)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from gpt2lab.errors import ConfigError, MissingExtraError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.server.cluster import application, options_of

PROGRAM = """
import json, sys, threading, time, urllib.error, urllib.request

def post(body, key="key"):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    request = urllib.request.Request("http://127.0.0.1:%d/v1/completions" % PORT, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

if __name__ == "__main__":
    import ray
    from ray import serve
    from gpt2lab.server.cluster import application

    PORT = int(sys.argv[1])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(application({"api_key": "key", "threads": "1", "max_replicas": "2", "requests": "1", "delay": "0.5"}))
    asked = {"prompt": "The old house", "max_tokens": 12, "seed": 7, "n": 2}
    said = {"one": post(asked), "streamed": post({**asked, "n": 1, "stream": True}), "refused": post(asked, "no")}
    said["wrong"] = post({"prompt": "a", "tempratur": 1})

    def replicas():
        deployment = serve.status().applications["default"].deployments["gpt2lab"]
        return deployment.replica_states.get("RUNNING", 0)

    said["few"] = replicas()
    long = {"prompt": "On and on", "max_tokens": 1500, "min_tokens": 1500}
    clients = [threading.Thread(target=post, args=(long,), daemon=True) for _ in range(4)]
    for client in clients:
        client.start()
    until = time.monotonic() + 90
    while replicas() < 2 and time.monotonic() < until:
        time.sleep(0.2)
    said["many"] = replicas()
    for client in clients:
        client.join()
    said["again"] = post(asked)
    print("SAID " + json.dumps(said))
    serve.shutdown()
    ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (gpt2lab[cluster])")
def test_replicas_answer_as_the_library_does_and_follow_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(port)], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("SAID ")).removeprefix("SAID "))
    lm = LanguageModel.load("tiny", threads=1)
    plain = {"temperature": 1.0, "top_k": 0, "repetition_penalty": 1.0}
    made = lm.generate("The old house", max_new_tokens=12, seed=7, num_return_sequences=2, **plain)
    for name in ("one", "again"):
        assert said[name][0] == 200, said[name]
        assert [choice["text"] for choice in json.loads(said[name][1])["choices"]] == [g.text for g in made]
    events = [line.removeprefix("data: ") for line in said["streamed"][1].splitlines() if line]
    assert events[-1] == "[DONE]"
    assert "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1]) == made[0].text
    assert said["refused"][0] == 401
    assert said["wrong"][0] == 400
    assert "Did you mean 'temperature'" in said["wrong"][1]
    assert (said["few"], said["many"]) == (1, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "api_key: Field required."),
        ({"api_key": "k", "max_replica": "2"}, "max_replica: Extra inputs are not permitted."),
        ({"api_key": "k", "threads": "many"}, "threads: Input should be a valid integer"),
        ({"api_key": "k", "max_replicas": "1", "min_replicas": "2"}, "max_replicas = 1 must be at least min_replicas"),
        ({"api_key": "k", "models": "a,a"}, "Two models are called 'a'"),
        ({"api_key": ""}, "The API key must be one word of ASCII characters"),
    ],
)
def test_mistakes_in_arguments(given: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(given)
    assert message in str(caught.value)


def test_ray_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"Serving on a cluster needs .*gpt2lab\[cluster\]"):
        application({"api_key": "k"})
