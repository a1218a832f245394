"""What a server allows: one frozen set of checked values. Knows nothing of HTTP libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gpt2lab.engine.params import check_whole
from gpt2lab.engine.running import Limits
from gpt2lab.errors import ConfigError

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine can reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits and doors of a server. Raises `ConfigError` for a value or a combination that is impossible.

    host, port: where it listens; port 0 takes a free one. api_key: what requests must carry. allow_remote: listen on an
        address that other machines reach, which needs a key. cors: origins of foreign pages that may read answers.
    max_body_bytes, body_seconds: of one request. max_prompt_tokens: of all prompts of a request together;
        max_output_tokens: of one text. max_sequences: texts that one request may ask for (prompts times best_of).
    max_requests: requests at once. request_seconds: for one answer, the wait included. stop_seconds: for what still
        runs when the server is asked to end.
    memory_bytes: for the weights and remembered texts of all loaded models together; prefix_bytes: for those texts, of
        each model. engine: how much each model's scheduler takes on.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    allow_remote: bool = False
    cors: Sequence[str] = ()
    max_body_bytes: int = 2**20
    body_seconds: float = 30.0
    max_prompt_tokens: int = 2**14
    max_output_tokens: int = 4096
    max_sequences: int = 64
    max_requests: int = 512
    request_seconds: float = 300.0
    stop_seconds: float = 60.0
    memory_bytes: int = 4 * 2**30
    prefix_bytes: int = 2**28
    engine: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "max_prompt_tokens", "max_output_tokens", "max_sequences", "max_requests",
                     "memory_bytes"):  # fmt: skip
            check_whole(name, getattr(self, name), 1)
        check_whole("prefix_bytes", self.prefix_bytes, 0)
        check_whole("port", self.port, 0)
        if self.port > 65535:
            raise ConfigError(f"port = {self.port} must be from 0 (a free one) to 65535.")
        for name in ("body_seconds", "request_seconds", "stop_seconds"):
            if not (0 < getattr(self, name) < math.inf):
                raise ConfigError(f"{name} = {getattr(self, name)!r} must be a positive number of seconds.")
        if self.api_key is not None and (not self.api_key or not self.api_key.isascii() or " " in self.api_key):
            raise ConfigError("The API key must be one word of ASCII characters; a request carries it in a header.")
        if self.remote and not self.allow_remote:
            raise ConfigError(
                f"host = {self.host!r} can be reached by other machines; say so with --allow-remote and give an "
                "--api-key, or stay with 127.0.0.1."
            )
        if self.remote and self.api_key is None:
            raise ConfigError(
                f"host = {self.host!r} can be reached by other machines, so an API key is needed; give --api-key."
            )
        for origin in self.cors:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ConfigError(
                    f"cors = {origin!r} is no origin; write it as in https://example.org, without a path."
                )

    @property
    def remote(self) -> bool:
        """Whether other machines can reach it."""
        return self.host not in LOCAL
