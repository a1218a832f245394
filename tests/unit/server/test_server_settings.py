"""What a server may be told, and the socket it listens on."""

from __future__ import annotations

import socket

import pytest

from gpt2lab.errors import ConfigError, Gpt2labError
from gpt2lab.server.hosting import address, open_socket
from gpt2lab.server.models import named_sources
from gpt2lab.server.settings import ServerSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"host": "0.0.0.0"}, "host = '0.0.0.0' can be reached by other machines; say so with --allow-remote"),
        ({"host": "0.0.0.0", "api_key": "k"}, "say so with --allow-remote"),
        ({"host": "0.0.0.0", "allow_remote": True}, "so an API key is needed; give --api-key."),
        ({"api_key": ""}, "The API key must be one word of ASCII characters"),
        ({"api_key": "två"}, "The API key must be one word of ASCII characters"),
        ({"port": 65536}, "port = 65536 must be from 0 (a free one) to 65535."),
        ({"max_body_bytes": 0}, "max_body_bytes = 0 must be a whole number of at least 1"),
        ({"request_seconds": 0}, "request_seconds = 0 must be a positive number of seconds."),
        ({"stop_seconds": float("inf")}, "stop_seconds = inf must be a positive number of seconds."),
        ({"cors": ("example.org",)}, "cors = 'example.org' is no origin; write it as in https://example.org"),
        ({"cors": ("https://example.org/",)}, "is no origin"),
    ],
)
def test_what_cannot_be(given: dict, message: str) -> None:
    with pytest.raises(Gpt2labError) as caught:
        ServerSettings(**given)
    assert message in str(caught.value)


def test_what_can_be() -> None:
    assert not ServerSettings().remote
    assert not ServerSettings(host="::1").remote
    assert ServerSettings(host="0.0.0.0", allow_remote=True, api_key="k", cors=("https://a.example:8443",)).remote


def test_small_answers_are_sent_at_once() -> None:
    """asyncio switches Nagle's algorithm off only where a socket's protocol is given; each answer waits 40 ms else."""
    with open_socket(ServerSettings(port=0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP
        assert address(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_an_address_that_cannot_be_had() -> None:
    with open_socket(ServerSettings(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port = {port} is in use by another program; choose another one"):
            open_socket(ServerSettings(port=port))
    with pytest.raises(ConfigError, match=r"host = '192\.0\.2\.1' with port 0 cannot be used: "):
        open_socket(ServerSettings(host="192.0.2.1", port=0, allow_remote=True, api_key="k"))
    with pytest.raises(ConfigError, match=r"host = 'no such host' with port 0 cannot be used: "):
        open_socket(ServerSettings(host="no such host", port=0, allow_remote=True, api_key="k"))


def test_models_and_their_names(tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    given = ["gpt2", "other=gpt2", str(tmp_path / "mine"), "hub/model"]
    assert named_sources(given) == {
        "gpt2": "gpt2", "other": "gpt2", "mine": str(tmp_path / "mine"), "hub/model": "hub/model",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="Two models are called 'gpt2'; write --model NAME=SOURCE for one of them"):
        named_sources(["gpt2", "gpt2=tiny"])
    for wrong in ("=tiny", "a=", ""):
        with pytest.raises(ConfigError, match="is no model; write --model SOURCE or --model NAME=SOURCE"):
            named_sources([wrong])
