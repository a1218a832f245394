"""Looking ahead: every path against all that there are, on a model small enough to try them all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from gpt2lab.engine.ahead import Path, greedy_pieces, path_pieces, word_pieces
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.score import drained
from gpt2lab.model.config import GPT2Config
from random_gpt2 import native

SMALL = GPT2Config(vocab_size=12, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
TEXT = np.asarray([3, 1, 4, 1, 5, 9], np.int32)
ENDS = 4  # in these tests, ids below it end a word, the others go on with it


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(SMALL)


def logprobs_after(backend: NativeBackend, ids: Sequence[int]) -> np.ndarray:
    text = np.concatenate([TEXT, np.asarray(ids, np.int32)])
    logits = backend.forward([backend.new_cache()], [text])[0].astype(np.float64)
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def logprob_of(backend: NativeBackend, ids: Sequence[int]) -> float:
    return sum(float(logprobs_after(backend, ids[:i])[token]) for i, token in enumerate(ids))


def check(backend: NativeBackend, path: Path) -> None:
    assert path.logprob == pytest.approx(logprob_of(backend, path.ids), abs=1e-4)
    assert sum(path.logprobs) == pytest.approx(path.logprob, abs=1e-6)


def test_a_beam_as_wide_as_the_vocabulary_finds_the_likeliest_paths(backend: NativeBackend) -> None:
    found = drained(path_pieces(backend, TEXT, 12, 2, PrefixCache()))
    everything = sorted((logprob_of(backend, ids) for ids in itertools.product(range(12), repeat=2)), reverse=True)
    assert [p.logprob for p in found] == pytest.approx(everything[:12], abs=1e-4)
    for path in found:
        check(backend, path)


def test_each_option_goes_on_with_the_likeliest(backend: NativeBackend) -> None:
    found = drained(greedy_pieces(backend, TEXT, 5, 4, None))
    assert [p.ids[0] for p in found] == np.argsort(-logprobs_after(backend, []), kind="stable")[:5].tolist()
    for path in found:
        assert len(path.ids) == 4
        for i in range(1, 4):
            assert path.ids[i] == logprobs_after(backend, path.ids[:i]).argmax()
        check(backend, path)


def test_a_word_counts_that_it_ends(backend: NativeBackend) -> None:
    mask = np.arange(12) >= ENDS

    def goes_on(ids: Sequence[int]) -> np.ndarray | None:
        return mask if len(ids) < 3 else None  # no word is longer than three tokens

    found = drained(word_pieces(backend, TEXT, 6, goes_on, PrefixCache()))
    everything = []
    for length in (1, 2, 3):
        for ids in itertools.product(range(12), *[range(ENDS, 12)] * (length - 1)):
            end = 0.0 if length == 3 else float(np.logaddexp.reduce(logprobs_after(backend, ids)[~mask]))
            everything.append((logprob_of(backend, ids) + end, ids))
    everything.sort(reverse=True)
    assert [p.ids for p in found] == [ids for _, ids in everything[:6]]
    assert [p.logprob for p in found] == pytest.approx([p for p, _ in everything[:6]], abs=1e-4)


def test_whole_tokens_cost_no_step(backend: NativeBackend) -> None:
    found = drained(word_pieces(backend, TEXT, 3, lambda _: None, None))
    assert [p.ids for p in found] == [(int(i),) for i in np.argsort(-logprobs_after(backend, []), kind="stable")[:3]]


def test_steps_end_where_the_window_is_full(backend: NativeBackend) -> None:
    nearly = np.arange(22, dtype=np.int32) % 12
    for pieces in (greedy_pieces, path_pieces):
        assert {len(p.ids) for p in drained(pieces(backend, nearly, 3, 8, None))} == {3}
    full = np.arange(24, dtype=np.int32) % 12
    assert {len(p.ids) for p in drained(path_pieces(backend, full, 3, 8, None))} == {1}
    words = drained(word_pieces(backend, full, 3, lambda _: np.ones(12, bool), None))
    assert words == []  # none of them can be seen to end


def test_what_was_read_before_is_not_read_again(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    first = drained(path_pieces(backend, TEXT, 4, 3, prefixes))
    assert drained(path_pieces(backend, TEXT, 4, 3, prefixes)) == first
    assert prefixes.statistics().found_tokens == len(TEXT) - 1
