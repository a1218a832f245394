"""Text from token ids that arrive one by one: only whole characters come out.

Knows the bytes of tokens through the function it is given; nothing of models.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Set

from gpt2lab.errors import TokenizerError

Piece = Callable[[int | None, int], bytes]


class StreamDecoder:
    """Turns ids into text as they come; the pieces together equal `Tokenizer.decode` of all ids.

    A character spread over several tokens comes out with the last of them. `piece` gives the bytes of an id after a
    previous one (None at the start); `errors` is what `bytes.decode` takes; `skipped` ids are passed over.
    """

    def __init__(self, piece: Piece, *, errors: str = "replace", skipped: Set[int] = frozenset()) -> None:
        self._piece = piece
        self._skipped = skipped
        self._previous: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def push(self, token_id: int) -> str:
        """Take the next id and return the characters it completes, often none.

        Raises `TokenizerError` for an unknown id, and for broken UTF-8 under errors="strict".
        """
        if token_id in self._skipped:
            return ""
        data = self._piece(self._previous, token_id)
        self._previous = token_id
        return self._decoded(data)

    def finish(self) -> str:
        """Return what is left (U+FFFD for a broken character, under "replace") and start afresh."""
        self._previous = None
        rest = self._decoded(b"", final=True)
        self._decoder.reset()
        return rest

    def _decoded(self, data: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError:
            self._decoder.reset()
            raise TokenizerError("These token ids are not UTF-8 text.") from None
