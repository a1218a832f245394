"""What a pair costs: only the target counts, each pair for itself, with the weight and smoothing asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch
import torch.nn.functional as F

from gpt2lab.apps.seq2seq.codec import Codec, with_tokens
from gpt2lab.apps.seq2seq.pairs import Pair
from gpt2lab.apps.seq2seq.settings import Seq2SeqRecipe
from gpt2lab.apps.seq2seq.task import PairTask
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.model.pieces import Pieces
from gpt2lab.tokenizer import train_tokenizer
from gpt2lab.train import load_recipe

WORDS = ("the", "old", "sailor", "a", "cat", "walked", "had", "never", "seen", "harbour", "it", "slept")
PAIRS = [Pair("the old sailor", "walked"), Pair("a cat", "had never seen the harbour"), Pair("it", "slept")]


def task_and_model(
    pairs: Sequence[Pair] = PAIRS, loop: Mapping[str, Any] | None = None, **settings: Any
) -> tuple[PairTask, GPT]:
    tokenizer = with_tokens(
        train_tokenizer(iter([" ".join(p) for p in PAIRS]), vocab_size=280), delimiter="<|to|>", end="<|end|>"
    )
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=64, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.3,
    )  # fmt: skip
    recipe = load_recipe({"name": "x", "data": ".", "out": "o", "train": {"steps": 1, "batch_size": 4, **(loop or {})}})
    codec = Codec(tokenizer, window=64)
    task = PairTask(config, codec, Seq2SeqRecipe(train=("x.tsv",), **settings), recipe, pairs, PAIRS[:2])
    return task, GPT(config, torch.Generator().manual_seed(1))


def parts(task: PairTask, model: GPT, batch: tuple[Any, ...], smoothing: float = 0.0) -> tuple[Any, Any, Any, Any]:
    """Return the losses of targets and of sources by plain means, and how many there are of each."""
    inputs, targets, places = (torch.from_numpy(a) for a in batch)
    losses = F.cross_entropy(
        model(inputs).flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none", label_smoothing=smoothing
    ).view(targets.shape)  # fmt: skip
    behind = torch.arange(targets.shape[1]) >= places[:, None]
    counts = targets != IGNORE
    return (
        losses[behind & counts].sum(),
        losses[~behind & counts].sum(),
        (behind & counts).sum(),
        (~behind & counts).sum(),
    )


def loss(task: PairTask, model: GPT, batch: tuple[Any, ...]) -> tuple[Any, Any]:
    return task.loss(model, tuple(torch.from_numpy(a) for a in batch))


def test_only_targets_and_their_ends_count() -> None:
    task, model = task_and_model()
    batch = next(task.stream)
    nats, count = loss(task, model, batch)
    wanted, _, number, _ = parts(task, model, batch)
    assert count == number == sum(len(task.codec.tokenizer.encode(p.target)) + 1 for p in PAIRS)
    assert nats.item() == pytest.approx(wanted.item(), rel=1e-5)
    other = batch[1].copy()
    ahead = np.arange(other.shape[1]) < batch[2][:, None]
    other[ahead & (other != IGNORE)] = 3
    assert loss(task, model, (batch[0], other, batch[2]))[0].item() == nats.item()


def test_weight_on_the_source_and_smoothing_are_those_of_training_alone() -> None:
    task, model = task_and_model(source_weight=0.25, label_smoothing=0.1)
    batch = next(task.stream)
    nats, count = loss(task, model, batch)
    targets, sources, n, m = parts(task, model, batch, smoothing=0.1)
    assert nats.item() == pytest.approx((targets + 0.25 * sources).item(), rel=1e-5)
    assert float(count) == float(n + 0.25 * m)
    ours = torch.autograd.grad(nats, list(model.parameters()))
    plain = torch.autograd.grad(targets + 0.25 * sources, list(model.parameters()))
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    model.eval()
    judged, count = loss(task, model, batch)
    assert judged.item() == pytest.approx(parts(task, model, batch)[0].item(), rel=1e-5)
    assert count == n


def test_a_pair_costs_the_same_whatever_stands_beside_it() -> None:
    task, model = task_and_model()
    model.eval()
    together = loss(task, model, next(task.stream))[0].item()
    alone = 0.0
    for row in task.rows:
        inputs, targets = row.ids[None, :-1].copy(), row.ids[None, 1:].copy()
        alone += loss(task, model, (inputs, targets, np.array([row.delimiter])))[0].item()
    assert together == pytest.approx(alone, rel=1e-5)


def test_a_batch_in_which_nothing_counts_costs_nothing() -> None:
    task, model = task_and_model(source_weight=0.5, label_smoothing=0.1)
    inputs, targets, places = next(task.stream)
    nats, count = loss(task, model, (inputs, np.full_like(targets, IGNORE), places))
    nats.backward()
    assert (nats.item(), float(count)) == (0.0, 0.0)


def test_validation_holds_every_held_out_pair() -> None:
    task, _ = task_and_model()
    ((_, targets, _),) = task.validation()
    assert len(targets) == 2
    assert task.generation()["eos_token_id"] == task.codec.tokenizer.id_of("<|end|>")


def some_pairs(count: int) -> list[Pair]:
    draw = np.random.default_rng(0)
    return [Pair(*(" ".join(draw.choice(WORDS, draw.integers(1, 6))) for _ in range(2))) for _ in range(count)]


@pytest.mark.parametrize("again", [False, True])
def test_pairs_that_share_a_row_cost_what_they_cost_alone_and_teach_the_same(again: bool) -> None:
    pairs = some_pairs(14)
    results = []
    for packing in (False, True):
        task, model = task_and_model(pairs, packing=packing, source_weight=0.25, label_smoothing=0.1)
        model.transformer.checkpoint_activations = again
        batches = [next(task.stream) for _ in range(len(task.stream))]
        assert packing == any((batch[-1] == 0).sum() > len(batch[0]) for batch in batches)
        losses = [loss(task, model, batch) for batch in batches]
        nats = torch.stack([nats for nats, _ in losses]).sum()
        results.append((nats, sum(float(n) for _, n in losses), torch.autograd.grad(nats, list(model.parameters()))))
    (nats, count, gradients), (packed_nats, packed_count, packed_gradients) = results
    assert packed_count == count
    assert packed_nats.item() == pytest.approx(nats.item(), rel=1e-5)
    for a, b in zip(gradients, packed_gradients, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5 * float(a.abs().max()))


def test_a_pair_does_not_see_its_neighbours() -> None:
    task, model = task_and_model(some_pairs(14), packing=True)
    inputs, _, _, positions = (torch.from_numpy(array) for array in next(task.stream))
    begin = int((positions[0] == 0).nonzero()[1])
    changed = inputs.clone()
    changed[0, :begin] = 3
    one, other = (model.hidden(ids, pieces=Pieces(positions)) for ids in (inputs, changed))
    assert torch.equal(one[0, begin:], other[0, begin:]) and torch.equal(one[1:], other[1:])
    assert not torch.allclose(one[0, :begin], other[0, :begin])


def test_rows_of_several_pairs_are_not_compiled() -> None:
    with pytest.raises(ConfigError, match=r"task\.packing = true and train\.compile = true exclude each other"):
        task_and_model(packing=True, loop={"compile": True})
