"""Pages of a cache wait for the next text: some of them, and nothing of what they held comes out again."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from gpt2lab.engine.native import NativeBackend, choose_cache_precision
from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from random_gpt2 import native

WIDE = GPT2Config(vocab_size=100, n_positions=1024, n_embd=512, n_layer=3, n_head=4)
"""A position of its cache takes 12 KB as floats, a page 384 KB, the 64 MiB of kKeptPageBytes are 170 pages."""
PAGE, KEPT = 32, (64 << 20) // (32 * 12 * 1024)


@pytest.fixture(scope="module", params=["fp32", "bf16", "int8"])
def backend(request: pytest.FixtureRequest) -> NativeBackend:
    return native(WIDE, precision="int8", cache_precision=request.param, threads=2)


def ids(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(100, size=count).astype(np.int32)


def test_a_page_takes_what_its_numbers_and_their_scales_take(backend: NativeBackend) -> None:
    keys_and_values = PAGE * WIDE.n_layer * WIDE.n_head * 2
    head_dim = WIDE.n_embd // WIDE.n_head
    of_one = {"fp32": 4 * head_dim, "bf16": 2 * head_dim, "int8": head_dim + 4}[backend.cache_precision]
    cache: Any = backend.new_cache()
    backend.forward([cache], [ids(PAGE + 1)])
    assert cache.nbytes == 2 * keys_and_values * of_one
    assert sum(size for _, size in cache.pages()) == cache.nbytes


def test_the_cache_is_as_precise_as_the_weights_unless_asked() -> None:
    auto = {weights: choose_cache_precision("auto", weights) for weights in ("fp32", "bf16", "int8", "int4")}
    assert auto == {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "int4": "int8"}
    assert choose_cache_precision("bf16", "int8") == "bf16"
    with pytest.raises(
        ConfigError, match=r"^cache_precision = 'int4' is not one of auto, fp32, bf16, int8\."
    ) as caught:
        choose_cache_precision("int4", "int4")
    assert "\n" not in str(caught.value)


def test_what_a_text_leaves_the_next_one_takes(backend: NativeBackend) -> None:
    cache = backend.new_cache()
    backend.forward([cache], [ids(5 * PAGE)])
    before = backend.waiting_pages
    del cache
    gc.collect()
    assert backend.waiting_pages == before + 5
    cache = backend.new_cache()
    backend.forward([cache], [ids(3 * PAGE)])
    assert backend.waiting_pages == before + 2


def test_a_page_that_is_shared_waits_when_the_last_has_left(backend: NativeBackend) -> None:
    cache = backend.new_cache()
    backend.forward([cache], [ids(2 * PAGE)])
    fork = cache.fork()
    before = backend.waiting_pages
    del cache
    assert backend.waiting_pages == before
    del fork
    assert backend.waiting_pages == before + 2


def test_no_more_pages_wait_than_are_worth_it() -> None:
    backend = native(WIDE, precision="int8", cache_precision="fp32", threads=2)
    caches = [backend.new_cache() for _ in range(KEPT // 16 + 2)]
    backend.forward(caches, [ids(16 * PAGE) for _ in caches])
    del caches
    assert backend.waiting_pages == KEPT


def test_a_cache_outlives_its_model(backend: NativeBackend) -> None:
    short = native(WIDE, precision="int8", threads=1)
    cache = short.new_cache()
    short.forward([cache], [ids(40)])
    del short
    gc.collect()
    assert cache.fork().length == 40


def test_a_used_page_gives_the_same_bits_as_a_fresh_one(backend: NativeBackend) -> None:
    texts = [ids(count, seed) for seed, count in enumerate((1, 31, 33, 64, 200))]
    fresh = native(WIDE, precision="int8", cache_precision=backend.cache_precision, threads=2)
    held = [fresh.new_cache() for _ in texts]
    expected = [fresh.forward([cache], [text]) for cache, text in zip(held, texts, strict=True)]  # no page used before
    for seed in range(3):
        filler = backend.new_cache()
        backend.forward([filler], [ids(300, 100 + seed)])
        del filler
        for text, rows in zip(texts, expected, strict=True):
            assert np.array_equal(backend.forward([backend.new_cache()], [text]).view(np.uint32), rows.view(np.uint32))


def addresses(cache: Any) -> list[int]:
    return [address for address, _ in cache.pages()]


def test_the_first_to_go_on_behind_a_shared_page_writes_in_it_and_the_next_copies_it(backend: NativeBackend) -> None:
    def alone(tokens: Any) -> Any:
        return backend.forward([backend.new_cache()], [tokens])[0]

    begin = ids(PAGE + 5)
    one = backend.new_cache()
    backend.forward([one], [begin])
    other, third = one.fork(), one.fork()
    assert addresses(one) == addresses(other) == addresses(third)
    step = {name: np.array([token], np.int32) for name, token in (("one", 7), ("other", 8), ("third", 9))}
    first = backend.forward([other], [step["other"]])[0]
    assert addresses(other) == addresses(one)
    rest = backend.forward([one, third], [step["one"], step["third"]])
    assert len({addresses(cache)[-1] for cache in (one, other, third)}) == 3
    assert len({addresses(cache)[0] for cache in (one, other, third)}) == 1
    for cache, name, logits in zip((other, one, third), ("other", "one", "third"), (first, *rest), strict=True):
        np.testing.assert_array_equal(logits, alone(np.append(begin, step[name])))
        more = backend.forward([cache], [ids(3, seed=5)])[0]
        np.testing.assert_array_equal(more, alone(np.concatenate([begin, step[name], ids(3, seed=5)])))


def test_who_goes_back_in_a_shared_page_copies_it(backend: NativeBackend) -> None:
    begin = ids(PAGE + 5)
    cache = backend.new_cache()
    backend.forward([cache], [begin])
    fork = cache.fork()
    fork.crop(PAGE + 2)
    got = backend.forward([fork], [ids(2, seed=3)])[0]
    assert addresses(fork)[-1] != addresses(cache)[-1]
    alone = backend.new_cache()
    np.testing.assert_array_equal(
        got, backend.forward([alone], [np.concatenate([begin[: PAGE + 2], ids(2, seed=3)])])[0]
    )
    kept, fresh = backend.forward([cache], [ids(1)])[0], backend.new_cache()
    np.testing.assert_array_equal(kept, backend.forward([fresh], [np.append(begin, ids(1))])[0])
