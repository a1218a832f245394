"""How a text that is longer than the model's window is cut into windows: the rules in use, as pure functions.

A text of n predictions (the inputs before it, the targets behind them) becomes windows (start, first, end): inputs
start … end-1 are read together, and the predictions first … end-1 count, so that first - start of the inputs only give
context. Every prediction counts at most once. Sources: the perplexity page of transformers' documentation; lm-eval 0.4
(utils.get_rolling_token_windows); Megatron-LM, tasks/zeroshot_gpt/datasets.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gpt2lab.errors import RequestError


class Window(NamedTuple):
    """Inputs start … end-1 are read; of their predictions those from `first` on count."""

    start: int
    first: int
    end: int


def check_stride(stride: int | None, size: int) -> int:
    """Return `stride`, by default half of the window `size`; one that is not from 1 to `size` is a `RequestError`."""
    step = max(size // 2, 1) if stride is None else stride
    if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= size:
        raise RequestError(f"stride = {stride!r} must be a whole number from 1 to the model's window of {size}.")
    return step


def sliding(n: int, size: int, stride: int) -> Iterator[Window]:
    """Move by `stride` and count the last `stride` predictions of every window but the first, which counts all.

    Every prediction has at least size - stride inputs before its own. This is Megatron's rule.
    """
    done = start = 0
    while done < n:
        end = min(start + size, n)
        yield Window(start, done, end)
        done, start = end, end - (size - stride)


def filled(n: int, size: int, stride: int) -> Iterator[Window]:
    """Do what `sliding` does, but move the start of the last window back until the window is full: lm-eval's rule."""
    for window in sliding(n, size, stride):
        yield window._replace(start=max(min(window.start, window.end - size), 0))


def of_tokens(n: int, size: int, stride: int) -> Iterator[Window]:
    """Cut the n + 1 tokens themselves into windows of `size` that move by `stride`: transformers' recipe.

    A window of `size` tokens makes size - 1 predictions, so where `stride` is `size` the first token of every window
    counts nowhere.
    """
    counted, tokens = 1, n + 1
    for start in range(0, tokens, stride):
        end = min(start + size, tokens)
        yield Window(start, max(counted, start + 1) - 1, end - 1)
        counted = end
        if end == tokens:
            return
