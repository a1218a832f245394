"""What each token id stands for: its text in the vocabulary and its bytes, worked out when an id is first asked for.

A process that writes fifty tokens does not pay for fifty thousand. Knows nothing of encoding.
"""

from __future__ import annotations

from gpt2lab.tokenizer import bytemap, wordpiece
from gpt2lab.tokenizer.vocabulary import Vocabulary


class TokenBytes(dict[int, bytes]):
    """Id -> the bytes it stands for; `tokens[id]` is the token as the vocabulary spells it. Ids are known ones."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        ids = vocabulary.token_ids()
        self.tokens: dict[int, str] = dict(zip(ids.values(), ids, strict=True))
        self._byte_level = vocabulary.kind == "byte-level"
        self._pieces = vocabulary.kind == "wordpiece"
        self._added = {token.content for token in vocabulary.added}

    def __missing__(self, token_id: int) -> bytes:
        token = self.tokens[token_id]
        if not self._byte_level:
            spelt = (wordpiece.bare(token) if self._pieces else token).encode()
        elif token in self._added or (data := bytemap.to_bytes(token)) is None:
            spelt = token.encode()
        else:
            spelt = data
        self[token_id] = spelt
        return spelt
