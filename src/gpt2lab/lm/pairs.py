"""Contexts and continuations as token ids, parted where lm-eval parts them. Knows a tokenizer, no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpt2lab.engine.likelihood import Pair
from gpt2lab.errors import RequestError
from gpt2lab.tokenizer import Tokenizer


def text_pairs(
    tokenizer: Tokenizer, begin: Callable[[], int], contexts: Sequence[str], continuations: Sequence[str]
) -> list[Pair]:
    """Return the ids of each context and its continuation.

    Both are read as one text and parted where the context's tokens end; blanks at the end of the context belong to the
    continuation. A context of nothing, or of nothing but blanks, is the token `begin()`, which begins a text. Raises
    `RequestError` where a continuation has no tokens.
    """
    wholes = [context + continuation for context, continuation in zip(contexts, continuations, strict=True)]
    encoded = tokenizer.encode_batch([*wholes, *(context.rstrip() for context in contexts)])
    made = []
    for given, asked, whole, before in zip(contexts, continuations, encoded, encoded[len(wholes) :], strict=False):
        context, continuation = list(before), whole[len(before) :]
        if not continuation and asked:
            raise RequestError(
                f"{asked[:40]!r} becomes one token with the end of {given[-40:]!r}, so nothing is left to measure; "
                "begin it with a blank."
            )
        if not continuation:
            raise RequestError(f"There is nothing to measure behind {given[-40:]!r}.")
        made.append(Pair(np.asarray(context or [begin()], np.int32), np.asarray(continuation, np.int32)))
    return made
