"""The prefix cache: the longest known beginning is found, memory is bounded and counted once, no bit changes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gpt2lab import LanguageModel
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.engine.prefix import PrefixCache, PrefixStatistics, shared_length
from gpt2lab.engine.protocol import Cache
from gpt2lab.engine.score import next_logits
from gpt2lab.errors import RequestError
from random_gpt2 import MODEL, native

PARAMS = SamplingParams(max_new_tokens=30, seed=5, stop_ids=(), top_logprobs=2)
Ids = npt.NDArray[np.int32]


def ids(*values: int) -> Ids:
    return np.asarray(values, np.int32)


def prompt(length: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(MODEL.vocab_size, size=length).astype(np.int32)


@pytest.fixture(scope="module")
def backend() -> NativeBackend:
    return native(MODEL, threads=2)


def computed(backend: NativeBackend, text: Ids) -> Cache:
    cache = backend.new_cache()
    backend.feed(cache, text)
    return cache


def distinct_bytes(caches: list[Cache]) -> int:
    return sum(dict(page for cache in caches for page in cache.pages()).values())


def length_found(prefixes: PrefixCache, text: Ids) -> int:
    found = prefixes.find(text)
    return 0 if found is None else found.length


# ---- what is found ---------------------------------------------------------------------------------------------


def test_the_longest_beginning_is_found(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    whole = prompt(50)
    prefixes.add(whole, computed(backend, whole))
    assert length_found(prefixes, whole) == 50
    assert length_found(prefixes, whole[:33]) == 33
    assert length_found(prefixes, np.concatenate([whole, ids(1, 2)])) == 50
    assert length_found(prefixes, np.concatenate([whole[:20], (whole[20:] + 1) % MODEL.vocab_size])) == 20
    assert prefixes.find((whole + 1) % MODEL.vocab_size) is None
    assert prefixes.find(ids()) is None


def test_what_is_found_is_the_computation_of_those_ids(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    whole = prompt(60)
    prefixes.add(whole, computed(backend, whole))
    for length in (4, 31, 32, 33, 59):
        other = np.concatenate([whole[:length], prompt(60 - length, seed=9)])
        found = prefixes.find(other[:length])
        assert found is not None
        expected = backend.forward([backend.new_cache()], [other], all_positions=True)[length:]
        np.testing.assert_array_equal(backend.forward([found], [other[length:]], all_positions=True), expected)
    again = prefixes.find(whole)  # what was found was the caller's own, and what is kept has not changed
    assert again is not None
    np.testing.assert_array_equal(
        backend.forward([again], [ids(3)]), backend.forward([computed(backend, whole)], [ids(3)])
    )


def test_a_text_that_goes_on_takes_the_place_of_its_beginning(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    whole = prompt(60)
    cache = backend.new_cache()
    for end in range(5, 61, 5):
        backend.feed(cache, whole[cache.length : end])
        prefixes.add(whole[:end], cache.fork())
        assert prefixes.statistics().texts == 1
    assert length_found(prefixes, whole) == 60
    prefixes.add(whole[:30], computed(backend, whole[:30]))  # known already
    assert prefixes.statistics().texts == 1
    assert prefixes.statistics().bytes == distinct_bytes([cache])


def test_a_page_that_texts_share_is_counted_once(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    start = computed(backend, prompt(40))
    kept = []
    for n in range(4):
        cache = start.fork()
        backend.feed(cache, ids(n, n, n))
        kept.append(cache)
        prefixes.add(np.concatenate([prompt(40), ids(n, n, n)]), cache.fork())
    page = start.pages()[0][1]
    assert prefixes.statistics().bytes == distinct_bytes(kept) == page * (1 + 4)
    assert sum(c.nbytes for c in kept) == page * 8  # type: ignore[attr-defined]


def test_random_texts_against_a_plain_list(backend: NativeBackend) -> None:
    """The tree against the definition: the longest beginning shared with any text that is kept."""
    r = random.Random(3)
    prefixes = PrefixCache()
    known: list[Ids] = []
    for _ in range(300):
        begin = r.choice(known)[: r.randrange(1, 12)] if known and r.random() < 0.7 else ids()
        text = np.concatenate([begin, ids(*(r.randrange(3) for _ in range(r.randrange(1, 12))))])
        longest = max((shared_length(text, k) for k in known), default=0)
        assert length_found(prefixes, text) == (longest if longest >= 4 else 0)
        prefixes.add(text, computed(backend, text))
        if len(text) >= 4:
            known.append(text)
    leaves = [a for a in known if not any(len(b) > len(a) and shared_length(a, b) == len(a) for b in known)]
    assert prefixes.statistics().texts == len({tuple(a) for a in leaves})


# ---- memory ----------------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_what_was_not_used_goes_first(backend: NativeBackend) -> None:
    page = computed(backend, prompt(1)).pages()[0][1]
    prefixes = PrefixCache(3 * page)
    texts = [prompt(20, seed) for seed in range(1, 6)]
    for text in texts[:3]:
        prefixes.add(text, computed(backend, text))
    assert length_found(prefixes, texts[0]) == 20  # used: the second is now the oldest
    for text in texts[3:]:
        prefixes.add(text, computed(backend, text))
        assert prefixes.statistics().bytes <= prefixes.max_bytes
    assert [length_found(prefixes, text) for text in texts] == [20, 0, 0, 20, 20]


def test_random_texts_in_little_memory(backend: NativeBackend) -> None:
    r = random.Random(4)
    page = computed(backend, prompt(1)).pages()[0][1]
    prefixes = PrefixCache(5 * page)
    for _ in range(400):
        text = ids(*(r.randrange(2) for _ in range(r.randrange(4, 60))))
        start = prefixes.find(text[:-1])
        cache = backend.new_cache() if start is None else start
        assert cache.length < len(text)
        backend.feed(cache, text[cache.length :])
        prefixes.add(text, cache)
        held = prefixes.statistics()
        assert held.bytes <= prefixes.max_bytes
        assert held.texts <= 5
        assert length_found(prefixes, text) == len(text)  # the newest is never the one that goes
    prefixes.clear()
    assert prefixes.statistics().bytes == prefixes.statistics().texts == 0
    assert prefixes.find(ids(0, 0, 0, 0, 0)) is None


def test_a_text_larger_than_the_memory_and_no_memory_at_all(backend: NativeBackend) -> None:
    page = computed(backend, prompt(1)).pages()[0][1]
    small, none = PrefixCache(page), PrefixCache(0)
    small.add(prompt(20), computed(backend, prompt(20)))
    small.add(prompt(40, 2), computed(backend, prompt(40, 2)))
    assert length_found(small, prompt(20)) == 20
    none.add(prompt(20), computed(backend, prompt(20)))
    assert none.find(prompt(20)) is None
    with pytest.raises(RequestError, match="max_bytes = -1 must be a whole number of at least 0"):
        PrefixCache(-1)


def test_statistics(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    prefixes.add(prompt(20), computed(backend, prompt(20)))
    prefixes.find(prompt(30))
    prefixes.find(prompt(30, 7))
    page = computed(backend, prompt(1)).pages()[0][1]
    assert prefixes.statistics() == PrefixStatistics(1, page, lookups=2, hits=1, asked_tokens=60, found_tokens=20)


# ---- texts that start from it ----------------------------------------------------------------------------------


def run(backend: NativeBackend, jobs: list[Job], **options: Any) -> list[Output]:
    batch = Batch(backend, jobs, **options)
    for _ in batch:
        pass
    return [batch.output(i) for i in range(len(jobs))]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("window", ["half", "recompute"])
def test_a_hit_changes_nothing(precision: str, window: str) -> None:
    """Also for prompts longer than the window, of which the end is read, and for texts that pass it."""
    backend = native(MODEL, precision=precision)
    params = PARAMS.replaced({"window": window})
    lengths = (1, 5, 33, 50, 63, 64, 65, 66, 90, 96, 97, 150)
    jobs = [Job(prompt(150)[:n], params, n) for n in lengths]
    expected = [run(backend, [job])[0] for job in jobs]
    prefixes = PrefixCache()
    for _ in range(2):
        assert [run(backend, [job], prefixes=prefixes)[0] for job in jobs] == expected
        assert run(backend, jobs, prefixes=prefixes) == expected
    assert prefixes.statistics().hits > len(lengths)


def test_a_prompt_seen_before_needs_one_token(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    job = Job(prompt(50), PARAMS)
    run(backend, [job], prefixes=prefixes)
    known = prefixes.find(job.prompt[:-1])
    assert known is not None
    assert backend.sequence(job.prompt, PARAMS, 0, known).due == 1
    assert backend.sequence(job.prompt, PARAMS, 0).due == 50


def test_a_cache_that_holds_the_whole_prompt_is_cropped(backend: NativeBackend) -> None:
    sequence = backend.sequence(prompt(20), PARAMS, 0, computed(backend, prompt(20)))
    assert sequence.due == 1
    backend.decode([sequence], 30)
    assert sequence.ids_from(20) == run(backend, [Job(prompt(20), PARAMS)])[0].ids


def test_a_cache_of_another_models_shape_is_refused(backend: NativeBackend) -> None:
    import dataclasses

    other = native(dataclasses.replace(MODEL, n_layer=1))
    with pytest.raises(ValueError, match="The cache is that of a model of another shape"):
        backend.sequence(prompt(20), PARAMS, 0, other.new_cache())


def test_a_snapshot_holds_what_has_been_read(backend: NativeBackend) -> None:
    sequence = backend.sequence(prompt(60), PARAMS.replaced({"max_new_tokens": 100}), 0)
    for steps in (0, 1, 1, 20, 40):
        backend.decode([sequence], steps, budget=25)
        held, cache = sequence.snapshot()
        assert len(held) == cache.length
        if cache.length:
            np.testing.assert_array_equal(
                backend.forward([cache], [ids(1)]), backend.forward([computed(backend, held)], [ids(1)])
            )


def test_next_logits_are_the_same(backend: NativeBackend) -> None:
    prefixes = PrefixCache()
    for length in (1, 10, 11, 12, 11, 50, 64, 65, 66):
        np.testing.assert_array_equal(
            next_logits(backend, prompt(70)[:length], prefixes), next_logits(backend, prompt(70)[:length])
        )
    assert prefixes.statistics().found_tokens >= 10 + 11 + 10 + 12 + 50


def test_the_facade_remembers(random_model: Any) -> None:
    plain, remembering = LanguageModel.load(random_model), LanguageModel.load(random_model, prefix_bytes=10**7)
    assert plain.prefixes is None
    text = "the old sailor walked slowly to"
    for _ in range(2):
        assert remembering.next_tokens(text) == plain.next_tokens(text)
        for more in ("", " the harbour."):
            options: dict[str, Any] = {"max_new_tokens": 20, "seed": 2, "num_return_sequences": 3}
            assert [g.text for g in remembering.generate(text + more, **options)] == [
                g.text for g in plain.generate(text + more, **options)
            ]
            assert list(remembering.stream(text + more, seed=4)) == list(plain.stream(text + more, seed=4))
    assert remembering.prefixes is not None
    assert remembering.prefixes.statistics().hits >= 6
    with pytest.raises(RequestError, match="prefix_bytes = -1 must be a whole number"):
        LanguageModel.load(random_model, prefix_bytes=-1)
