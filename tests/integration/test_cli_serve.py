"""`gpt2lab serve` as a process: it says where it is, finishes what runs when it is asked to end."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals"),
    pytest.mark.usefixtures("ctrl_c_works"),
]


COMMAND = [sys.executable, "-m", "gpt2lab", "serve", "--port", "0", "--threads", "1", "--api-key", "key"]
HEADERS = {"Authorization": "Bearer key"}


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of a server."""
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    """Return where it says that it listens; whatever else it says first is a mistake."""
    assert process.stderr is not None
    said = re.fullmatch(
        r"gpt2lab serves tiny at (http://127\.0\.0\.1:\d+) \(Ctrl-C ends it\)\n", process.stderr.readline()
    )
    assert said is not None
    return said[1]


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_runs_is_finished(sign: signal.Signals, code: int) -> None:
    asked = {"prompt": "On and on", "max_tokens": 600, "min_tokens": 600, "stream": True, "return_token_ids": True}
    with running() as process:
        url = address(process)
        with httpx2.stream("POST", f"{url}/v1/completions", json=asked, headers=HEADERS, timeout=120) as answer:
            lines = answer.iter_lines()
            made = json.loads(next(lines).removeprefix("data: "))["choices"][0]["token_ids"]
            process.send_signal(sign)
            events = [line.removeprefix("data: ") for line in lines if line]
        assert events[-1] == "[DONE]"
        pieces = [json.loads(event)["choices"][0] for event in events[:-1]]
        assert len(made) + sum(len(piece["token_ids"]) for piece in pieces) == 600
        assert pieces[-1]["finish_reason"] == "length"
        assert process.wait(60) == code
        assert process.stderr is not None
        assert process.stderr.read() == ""  # nothing to say, no traceback
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{url}/health")


def test_what_takes_too_long_is_cut_off() -> None:
    asked = {"max_tokens": 10**7, "min_tokens": 10**7, "stream": True}
    with running("--stop-timeout", "1", "--max-output-tokens", str(10**7)) as process:
        url = address(process)
        with httpx2.stream("POST", f"{url}/v1/completions", json=asked, headers=HEADERS, timeout=120) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--host = '0.0.0.0' can be reached by other machines; say so with --allow-remote"),
        (("--host", "0.0.0.0", "--allow-remote"), "so an API key is needed; give --api-key."),
        (("--port", "70000"), "--port = 70000 must be from 0 (a free one) to 65535."),
        (("--model", "nosuchmodel"), "nosuchmodel"),
        (("--max-running", "0"), "--max-running = 0 must be a whole number of at least 1"),
        (("--timeout", "0"), "--timeout = 0.0 must be a positive number of seconds."),
    ],
)
def test_mistakes(command, arguments: tuple[str, ...], message: str) -> None:
    done = command("serve", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("size", ["nan", "inf", "-1"])
def test_memory_is_a_number_of_gigabytes(size: str, command) -> None:
    for option in ("--memory", "--prefix-memory"):
        done = command("serve", "--port", "0", option, size)
        assert (done.code, done.out) == (2, "")
        assert done.err == f"gpt2lab: {option} = {float(size)} must be a number of gigabytes.\n"
