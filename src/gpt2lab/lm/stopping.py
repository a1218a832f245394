"""Turning a stream of token ids into text that ends before a stop string, wherever the tokens' borders lie."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from gpt2lab.errors import RequestError
from gpt2lab.tokenizer import Tokenizer


class TextStream:
    """Collects the text of one generation and watches for stop strings.

    `push` and `finish` return text that is certain to stay: whole characters, and nothing that may yet turn out to be
    the beginning of a stop string. With `include_stop` the stop string itself is kept.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = (), *, include_stop: bool = False) -> None:
        if any(not stop for stop in stops):
            raise RequestError("A stop string is empty; give at least one character.")
        self._decoder = tokenizer.stream()
        self._stops, self._include = list(stops), include_stop
        self._ends: list[int] = []  # length of the text when each token had been decoded
        self._emitted = 0  # how much of it has been returned
        self.text = ""
        self.stopped = False

    def push(self, ids: Iterable[int]) -> str:
        """Take new tokens and return the text that they make certain; after a stop string everything is ignored."""
        for token in ids:
            if self.stopped:
                break
            self._add(self._decoder.push(token))
            self._ends.append(len(self.text))
        return self._certain(final=self.stopped)

    def finish(self) -> str:
        """Return what was held back; no more tokens will come."""
        if not self.stopped:
            self._add(self._decoder.finish())
        return self._certain(final=True)

    @property
    def ends(self) -> Sequence[int]:
        """Length of the text when each token had been decoded; a token begins where the one before it ends."""
        return self._ends

    @property
    def certain_tokens(self) -> int:
        """Number of tokens whose text has been returned whole."""
        return self.token_count if self.stopped else bisect_right(self._ends, self._emitted)

    @property
    def token_count(self) -> int:
        """Number of tokens with a share in the text: those that lie wholly behind its end are not counted."""
        if not self.stopped:
            return len(self._ends)
        return sum(1 for i in range(len(self._ends)) if (self._ends[i - 1] if i else 0) < len(self.text))

    def _add(self, piece: str) -> None:
        if not piece:
            return
        longest = max(map(len, self._stops), default=0)
        begin = max(len(self.text) - longest + 1, 0)
        self.text += piece
        found = [(at, stop) for stop in self._stops if (at := self.text.find(stop, begin)) >= 0]
        if found:
            at, stop = min(found, key=lambda f: (f[0], -len(f[1])))
            self.text = self.text[: at + len(stop) if self._include else at]
            self.stopped = True

    def _certain(self, *, final: bool) -> str:
        end = len(self.text) if final else len(self.text) - self._possible_stop()
        piece = self.text[self._emitted : end]
        self._emitted = max(self._emitted, end)
        return piece

    def _possible_stop(self) -> int:
        """Return the length of the longest end of the text that begins a stop string."""
        return max(
            (n for stop in self._stops for n in range(1, len(stop)) if self.text.endswith(stop[:n])),
            default=0,
        )
