"""Text under a rule: nothing else comes, what may come is chosen as ever, and windows move as they do without one."""

from __future__ import annotations

import numpy as np
import pytest

from gpt2lab.engine.generate import Batch
from gpt2lab.engine.guided import generate_guided
from gpt2lab.engine.jobs import Job
from gpt2lab.engine.native import NativeBackend
from gpt2lab.engine.params import SamplingParams
from gpt2lab.errors import CheckpointError, RequestError
from random_gpt2 import MODEL, native, weights_of


class Among:
    """Allows some tokens, for so many steps."""

    def __init__(self, tokens: range, steps: int = 10_000) -> None:
        self.mask = np.zeros(MODEL.vocab_size, np.bool_)
        self.mask[tokens] = True
        self.left, self.seen = steps, list[int]()

    @property
    def complete(self) -> bool:
        return self.left == len(self.seen)

    def allowed(self) -> np.ndarray:
        return self.mask

    def accept(self, token: int) -> None:
        self.seen.append(token)


ALL = range(MODEL.vocab_size)


def jobs(count: int = 3, **options: object) -> list[Job]:
    params = SamplingParams(**{"max_new_tokens": 90, "stop_ids": (), "seed": 5, **options})  # type: ignore[arg-type]
    return [Job(np.array([1, 2 + i], np.int32), params, i) for i in range(count)]


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 9}, {"top_p": 0.6}, {"temperature": 0.0}])
def test_a_rule_that_allows_all_changes_nothing(options: dict[str, object]) -> None:
    """The window of 64 moves on the way."""
    backend, asked = native(threads=1), jobs(**options)
    batch = Batch(backend, asked)
    list(batch)
    guided = generate_guided(backend, asked, [Among(ALL) for _ in asked], batch_size=2)
    for i, output in enumerate(guided):
        assert (output.ids, output.finish) == (batch.output(i).ids, "length")
        np.testing.assert_allclose(output.logprobs, batch.output(i).logprobs, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.5}, {"temperature": 0.0}])
def test_nothing_else_than_what_is_allowed_comes(options: dict[str, object]) -> None:
    rules = [Among(range(20, 23)) for _ in range(3)]
    for output, rule in zip(generate_guided(native(threads=1), jobs(**options), rules), rules, strict=True):
        assert set(output.ids) <= {20, 21, 22}
        assert rule.seen == output.ids
        assert all(p < 0 for p in output.logprobs)


def test_a_rule_and_an_end_token_end_a_text() -> None:
    told: list[int] = []
    first, second = generate_guided(
        native(threads=1),
        jobs(2, stop_ids=(7,)),
        [Among(range(3, 5), steps=4), Among(range(7, 8))],
        progress=told.append,
    )
    assert (len(first.ids), first.finish) == (4, "stop")
    assert (second.ids, second.finish, second.logprobs) == ([], "eos", [])
    assert sum(told) == 5
    assert generate_guided(native(threads=1), jobs(1), [Among(ALL, steps=0)])[0].finish == "stop"


def test_torch_is_guided_alike() -> None:
    pytest.importorskip("torch")
    from gpt2lab.engine.torch_backend import TorchBackend

    backend = TorchBackend(MODEL, weights_of(MODEL), device="cpu")
    ours, theirs = (
        generate_guided(b, jobs(temperature=0.0, max_new_tokens=20), [Among(range(50)) for _ in range(3)])
        for b in (native(threads=1), backend)
    )
    assert [o.ids for o in ours] == [o.ids for o in theirs]


def test_what_cannot_go_on() -> None:
    with pytest.raises(RequestError, match="No token is possible"):
        generate_guided(native(threads=1), jobs(1), [Among(range(0))])
    with pytest.raises(RequestError, match="No token is possible"):
        generate_guided(native(threads=1), jobs(1, logit_bias={3: float("-inf")}), [Among(range(3, 4))])
    weights = weights_of(MODEL)
    weights["transformer.ln_f.bias"][:] = np.nan
    with pytest.raises(CheckpointError, match="weights are damaged"):
        generate_guided(NativeBackend(MODEL, weights, threads=1), jobs(1), [Among(ALL)])
