"""Heads against transformers' classes on random weights: saved here and loaded there, and the other way round.

Rows of a batch are of different lengths; no token stands for padding in ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from gpt2lab.apps.transfer.decide import Reading
from gpt2lab.apps.transfer.encode import Encoded
from gpt2lab.apps.transfer.model import TransferModel
from gpt2lab.apps.transfer.settings import TransferRecipe
from gpt2lab.checkpoint.heads import CLASSES, Head, HeadKind, load_with_head, save_with_head
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.tokenizer import Tokenizer
from gpt2lab.train.examples import Example, padded
from gpt2lab.train.heads import Headed, head_loss
from random_gpt2 import MODEL, weights_of

KINDS: tuple[HeadKind, ...] = ("classes", "value", "choice", "tags", "span")
OUTPUTS = {"classes": 3, "value": 1, "choice": 1, "tags": 5, "span": 2}
LENGTHS = (5, 11, 2, 7)
UNTIED = dataclasses.replace(MODEL, tie_word_embeddings=False)


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    yield
    transformers.utils.logging.set_verbosity_warning()
    transformers.utils.logging.enable_progress_bar()


def random_head(kind: HeadKind, width: int) -> Head:
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.5, (OUTPUTS[kind], width)).astype(np.float32)
    bias = rng.normal(0, 0.5, OUTPUTS[kind]).astype(np.float32) if CLASSES[kind].bias else None
    return Head(kind, weight, bias, tuple("abcde"[: OUTPUTS[kind]]) if kind in ("classes", "tags") else ())


def sequences(kind: HeadKind) -> list[Example]:
    """Rows of ragged length; two sequences each for a choice. The id of padding (0) is in none of them."""
    rng = np.random.default_rng(4)
    per_row = 2 if kind == "choice" else 1
    return [
        Example(tuple(rng.integers(1, 211, n + i) for i in range(per_row)), np.zeros((), np.int64)) for n in LENGTHS
    ]


def ours(base: GPT2Config, tensors: Any, head: Head) -> Headed:
    model = Headed(GPT(base), head.kind, len(head.weight), bias=head.bias is not None)
    model.gpt.load_state_dict({name: torch.from_numpy(np.array(t)) for name, t in tensors.items()})
    model.head.weight.data.copy_(torch.from_numpy(head.weight))
    if head.bias is not None:
        model.head.bias.data.copy_(torch.from_numpy(head.bias))
    return model.eval()


def their_logits(model: Any, kind: HeadKind, rows: list[Example]) -> list[np.ndarray]:
    """Return what transformers' class says of a batch, of each row as far as it goes."""
    ids, last, _ = padded(rows)
    t = ids.shape[1] // last.shape[1]
    tokens, mask = torch.from_numpy(ids), torch.from_numpy(np.arange(t) <= last[:, :1]).long()
    with torch.no_grad():
        if kind == "choice":
            given = tokens.view(len(rows), 2, t)
            found = model(given, mc_token_ids=torch.from_numpy(last)).mc_logits
        elif kind == "span":
            both = model(tokens, attention_mask=mask)
            found = torch.stack([both.start_logits, both.end_logits], -1)
        else:
            found = model(tokens, attention_mask=mask).logits
    rows_of = found.numpy()
    return [r[: n + 1] if kind in ("tags", "span") else r for r, n in zip(rows_of, last[:, 0], strict=True)]


def our_logits(model: Headed, kind: HeadKind, rows: list[Example]) -> list[np.ndarray]:
    ids, last, _ = padded(rows)
    with torch.no_grad():
        found = model(torch.from_numpy(ids), torch.from_numpy(last)).numpy()
    return [r[: n + 1] if kind in ("tags", "span") else r for r, n in zip(found, last[:, 0], strict=True)]


@pytest.mark.parametrize("config", [MODEL, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_we_save_says_the_same_there(kind: HeadKind, config: GPT2Config, tmp_path: Path) -> None:
    tensors, head, rows = weights_of(config), random_head(kind, config.n_embd), sequences(kind)
    save_with_head(tmp_path / "m", config, tensors, head)
    theirs = getattr(transformers, CLASSES[kind].name).from_pretrained(tmp_path / "m").eval()
    if kind in ("classes", "tags"):
        assert list(theirs.config.id2label.values()) == list(head.labels)
    expected = their_logits(theirs, kind, rows)
    base, found = load_with_head(tmp_path / "m")
    assert (found.kind, found.labels[: len(head.labels)]) == (kind, head.labels)
    model = ours(base.config, base.tensors, found)
    for mine, right in zip(our_logits(model, kind, rows), expected, strict=True):
        np.testing.assert_allclose(mine, right, atol=1e-4)
    for row, right in zip(rows, expected, strict=True):  # alone, too: no row knows its neighbours
        np.testing.assert_allclose(our_logits(model, kind, [row])[0], right, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_they_save_says_the_same_here_and_in_the_engine(
    kind: HeadKind, tmp_path: Path, random_model: Path
) -> None:
    torch.manual_seed(2)
    settings = transformers.GPT2Config(
        vocab_size=MODEL.vocab_size, n_positions=64, n_embd=48, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, num_labels=OUTPUTS[kind],
    )  # fmt: skip
    if kind == "value":
        settings.problem_type = "regression"
    theirs = getattr(transformers, CLASSES[kind].name)(settings).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():  # biases and norms too, which are born constant
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.save_pretrained(tmp_path / "m")
    base, head = load_with_head(tmp_path / "m")
    assert head.kind == kind
    rows = sequences(kind)
    expected = their_logits(theirs, kind, rows)
    for mine, right in zip(our_logits(ours(base.config, base.tensors, head), kind, rows), expected, strict=True):
        np.testing.assert_allclose(mine, right, atol=1e-4)
    known = dataclasses.replace(base, tokenizer=Tokenizer.from_folder(random_model))
    shape: Any = {"classes": "classification", "value": "classification"}.get(kind, kind)
    recipe = TransferRecipe(shape=shape, target="value" if kind == "value" else "class")
    model = TransferModel(known, head, recipe, Reading(), threads=1)
    for row, right in zip(rows, expected, strict=True):
        np.testing.assert_allclose(
            model.logits(Encoded(row.sequences, np.zeros(0, np.int64), (), False)), right, atol=1e-4
        )


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_are_theirs(kind: HeadKind, tmp_path: Path) -> None:
    save_with_head(tmp_path / "m", MODEL, weights_of(MODEL), random_head(kind, MODEL.n_embd))
    theirs = getattr(transformers, CLASSES[kind].name).from_pretrained(tmp_path / "m").eval()
    base, head = load_with_head(tmp_path / "m")
    per_row = 2 if kind == "choice" else 1
    rng = np.random.default_rng(1)
    rows = [Example(tuple(rng.integers(1, 211, 6) for _ in range(per_row)), np.zeros((), np.int64)) for _ in range(3)]
    ids, last, _ = (torch.from_numpy(a) for a in padded(rows))
    targets = {
        "classes": torch.tensor([0, 2, 1]), "value": torch.tensor([0.5, -1.0, 2.0]), "choice": torch.tensor([1, 0, 1]),
        "tags": torch.tensor([[0, -100, 4, 1, 2, 3]] * 3), "span": torch.tensor([[1, 3], [0, 5], [2, 2]]),
    }[kind]  # fmt: skip
    with torch.no_grad():
        total, count = head_loss(kind, ours(base.config, base.tensors, head)(ids, last), targets)
        if kind == "choice":
            right = theirs(ids.view(3, 2, -1), mc_token_ids=last, mc_labels=targets).mc_loss
        elif kind == "span":
            right = theirs(ids, start_positions=targets[:, 0], end_positions=targets[:, 1]).loss
        else:
            right = theirs(ids, labels=targets).loss
    scale = 2 if kind == "value" else 1  # theirs is the mean of the squares, ours half of it
    assert float(total / count) * scale == pytest.approx(float(right), abs=1e-4)


def test_both_orders_are_the_sum_of_what_they_say_of_each(tmp_path: Path) -> None:
    head = random_head("classes", MODEL.n_embd)
    save_with_head(tmp_path / "m", MODEL, weights_of(MODEL), head)
    theirs = transformers.GPT2ForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    a, b = np.asarray([3, 9, 4]), np.asarray([4, 9, 3, 7, 8])
    rows = [Example((a, b), np.zeros((), np.int64)), Example((b,), np.zeros((), np.int64))]
    mine = our_logits(ours(MODEL, weights_of(MODEL), head), "classes", rows)
    each = [theirs(torch.from_numpy(one)[None]).logits.detach().numpy()[0] for one in (a, b)]
    np.testing.assert_allclose(mine[0], each[0] + each[1], atol=1e-4)
    np.testing.assert_allclose(mine[1], each[1], atol=1e-4)
