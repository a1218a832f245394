"""What a block computes again changes no bit and repeats no product; sums of portions leave out what had no part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from gpt2lab.model.config import GPT2Config  # noqa: E402
from gpt2lab.model.gpt import GPT, one_after_another  # noqa: E402
from gpt2lab.train.learner import Learner  # noqa: E402
from gpt2lab.train.loss import cross_entropy_sum  # noqa: E402
from gpt2lab.train.parallel import Processes  # noqa: E402
from gpt2lab.train.recipe import load_recipe  # noqa: E402
from gpt2lab.train.recompute import recompute_inputs  # noqa: E402
from gpt2lab.train.task import LanguageModelling  # noqa: E402

CONFIG = GPT2Config(
    vocab_size=61, n_positions=16, n_embd=32, n_layer=2, n_head=2, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0
)


class Products(TorchDispatchMode):
    """Counts matrix products."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function.overloadpacket.__name__ in ("mm", "addmm", "bmm")
        return function(*args, **(kwargs or {}))


def gradients(again: bool, half: bool) -> tuple[list[torch.Tensor], int]:
    model = GPT(CONFIG, torch.Generator().manual_seed(0))
    if again:
        recompute_inputs(model)
    ids = torch.arange(32).view(2, 16) % CONFIG.vocab_size
    with Products() as products:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = cross_entropy_sum(model.hidden(ids).flatten(0, 1), model.head_weight, ids.flatten())
        loss.backward()
    found = [p.grad for p in model.parameters()]
    assert all(g is not None for g in found)
    return found, products.count  # type: ignore[return-value]


@pytest.mark.parametrize("half", [False, True])
def test_gradients_are_the_same_bits_and_no_product_is_formed_twice(half: bool) -> None:
    plain, products = gradients(again=False, half=half)
    again, as_many = gradients(again=True, half=half)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert products == as_many


def test_outputs_of_norms_and_of_gelu_are_not_kept() -> None:
    def kept(again: bool) -> int:
        model = GPT(CONFIG)
        if again:
            recompute_inputs(model)
        block, sizes = model.transformer.h[0], []
        x = torch.zeros(2, 16, 32, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            block(x, None)
        return sizes.count(2 * 16 * CONFIG.inner)

    assert kept(again=False) > kept(again=True)


class Noise(LanguageModelling):
    """Endless rows of random tokens."""

    def __init__(self) -> None:
        self._config, self._rng = CONFIG, np.random.default_rng(0)

    @property
    def stream(self) -> Any:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        rows = self._rng.integers(61, size=(2, 17))
        return rows[:, :-1].copy(), rows[:, 1:].copy()


def learner(**train: Any) -> Learner:
    recipe = load_recipe({"name": "x", "data": "", "out": "", "train": {"steps": 1, "batch_size": 2, **train}})
    return Learner(Noise(), GPT(CONFIG, torch.Generator().manual_seed(0)), recipe, Processes("cpu", "ddp"))


def test_portions_add_up_to_what_autograd_makes_of_them() -> None:
    summed, plain = learner(accumulate=3), learner(accumulate=3)
    plain._sums = None
    plain.forget()
    for step in range(2):
        for each in (summed, plain):
            each.update(each.gradients(step), 1.0)
    for a, b in zip(summed.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_parameter_without_a_part_in_the_loss_has_no_gradient() -> None:
    model = GPT(CONFIG)
    model.register_parameter("idle", torch.nn.Parameter(torch.ones(3)))
    recipe = load_recipe({"name": "x", "data": "", "out": "", "train": {"steps": 1, "batch_size": 2, "accumulate": 2}})
    each = Learner(Noise(), model, recipe, Processes("cpu", "ddp"))
    for step in range(2):
        loss = each.gradients(step)
        assert model.get_parameter("idle").grad is None
        assert all(p.grad is not None for p in model.transformer.parameters())
        each.update(loss, 1.0)
    assert torch.equal(model.get_parameter("idle"), torch.ones(3))


def test_layers_that_are_not_plain_are_left_as_they_are() -> None:
    model = GPT(CONFIG)
    block = model.transformer.h[0]
    recompute_inputs(model)
    assert block.then is not one_after_another
    block.attn.c_attn.product = lambda x, weight, bias: x @ weight + bias
    x = torch.ones(1, 4, 32, requires_grad=True)
    with Products() as products:
        block.then(block.ln_1, block.attn.c_attn, x).sum().backward()
    assert products.count == 3
