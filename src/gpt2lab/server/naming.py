"""How tokens are called in answers, and numbers that JSON can carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpt2lab.tokenizer import Tokenizer

LOWEST = -9999.0
"""What OpenAI's API says for the logprob of the impossible, since JSON has no infinity."""


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """Return a token's text, or "bytes:\\xe2\\x80" for one that is no whole characters, so that names differ."""
    data = tokenizer.token_bytes(token)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def gltr_name(tokenizer: Tokenizer, token: int) -> str:
    """Return a token as GLTR's pages read it: a leading blank is U+0120, a line break U+010A."""
    text = tokenizer.token_text(token).replace("\n", "\u010a")
    return "\u0120" + text[1:] if text.startswith(" ") else text


class LogprobLists:
    """The four lists of a choice's logprobs, filled token by token; `count` likeliest tokens are said of each."""

    def __init__(self, tokenizer: Tokenizer, count: int) -> None:
        self._tokenizer, self._count = tokenizer, count
        self._lists: dict[str, list[Any]] = {
            "tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": [],
        }  # fmt: skip

    def add(self, token: int, logprob: float | None, top: Sequence[tuple[int, float]], offset: int) -> None:
        """Add a token; `logprob` is None where nothing precedes it. The token itself is always among the likeliest."""
        name = token_name(self._tokenizer, token)
        value = None if logprob is None else max(logprob, LOWEST)
        named = None
        if value is not None:
            named = {token_name(self._tokenizer, i): max(p, LOWEST) for i, p in top[: self._count]}
            named.setdefault(name, value)
        for key, entry in zip(self._lists, (name, value, named, offset), strict=True):
            self._lists[key].append(entry)

    def take(self) -> dict[str, list[Any]]:
        """Return the lists and begin new ones."""
        taken = self._lists
        self._lists = {key: [] for key in taken}
        return taken
