"""Heads: a linear layer on a GPT-2's last hidden states, learnt together with the model below it.

The method of GPT-1 (Radford et al. 2018, sections 3.2 and 3.3) and of Grover's discriminator (Zellers et al. 2019,
section 4). The five kinds compute what transformers' GPT2ForSequenceClassification, GPT2DoubleHeadsModel,
GPT2ForTokenClassification and GPT2ForQuestionAnswering do. Knows token ids and targets, not what they mean.

Axes: B rows, S sequences of a row, T tokens, C n_embd, K outputs, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt2lab.checkpoint.heads import HeadKind
from gpt2lab.data.batches import IGNORE
from gpt2lab.errors import DataError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.examples import Example, Examples, digest, in_batches
from gpt2lab.train.loss import cross_entropy_sum
from gpt2lab.train.task import Batch

_BODY = "gpt."


class Headed(nn.Module):
    """A GPT-2 with a head of `outputs` beside the one of V tokens.

    What the head reads is the state of the last token of each sequence ("classes", "value", "choice") or that of every
    token ("tags", "span"). Several sequences of a row are summed, but for "choice", which is between them.
    """

    def __init__(
        self, gpt: GPT, kind: HeadKind, outputs: int, generator: torch.Generator | None = None, *, bias: bool = True,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.gpt, self.kind = gpt, kind
        self.head = nn.Linear(gpt.config.n_embd, outputs, bias=bias)
        self.drop = nn.Dropout(dropout)
        nn.init.normal_(self.head.weight, std=gpt.config.initializer_range, generator=generator)
        if bias:
            nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, last: Tensor) -> Tensor:
        """Return the logits of ids (B, S * T) whose sequences end at `last` (B, S); see `logits`."""
        return self.logits(self.states(ids, last), last)

    def states(self, ids: Tensor, last: Tensor) -> Tensor:
        """Return the hidden states (B, S, T, C) of `padded`'s ids (B, S * T)."""
        b, s = last.shape
        hidden = self.gpt.hidden(ids.view(b * s, -1))  # (B * S, T, C)
        return hidden.view(b, s, *hidden.shape[1:])

    def logits(self, states: Tensor, last: Tensor) -> Tensor:
        """Return float32 logits: (B, K) of "classes" and "value", (B, S) of "choice", (B, T, K) of "tags" and "span".

        What stands at a choice that a row does not have, and of "span" behind the last token, is minus infinity.
        """
        if self.kind in ("tags", "span"):
            logits: Tensor = self.head(self.drop(states[:, 0])).float()  # (B, T, K)
            if self.kind == "tags":
                return logits
            behind = torch.arange(logits.shape[1], device=last.device) > last  # (B, T)
            return logits.masked_fill(behind.unsqueeze(2), -torch.inf)
        index = last.clamp(min=0)[..., None, None].expand(-1, -1, 1, states.shape[3])
        ends = states.gather(2, index).squeeze(2)  # (B, S, C)
        if self.kind == "choice":
            each: Tensor = self.head(self.drop(ends)).float().squeeze(2)  # (B, S)
            return each.masked_fill(last < 0, -torch.inf)
        there = (last >= 0).unsqueeze(2)  # (B, S, 1)
        both = (ends * there).sum(1)  # (B, C): GPT-1 adds the states of both orders of a pair
        whole: Tensor = self.head(self.drop(both)).float()
        return whole


def head_loss(kind: HeadKind, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss of `Headed`'s logits and how many targets count.

    Cross-entropy in nats of a class (B,), a choice (B,) or a tag (B, T); of a span (B, 2) the mean of its first and
    last token's; half the squared error of a value (B,).
    """
    count = torch.tensor(len(targets), device=targets.device)
    if kind == "value":
        return 0.5 * (logits[:, 0] - targets.float()).square().sum(), count
    if kind == "tags":
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")
        return nats, (targets != IGNORE).sum()
    if kind == "span":
        ends = [F.cross_entropy(logits[..., i], targets[:, i], reduction="sum") for i in range(2)]
        return (ends[0] + ends[1]) / 2, count
    return F.cross_entropy(logits, targets, reduction="sum"), count


class HeadTask:
    """The task: what is right of every example, and with a weight `language` the next token of its sequences too.

    Raises `DataError` for sequences that are empty or longer than the window.
    """

    def __init__(
        self,
        config: GPT2Config,
        kind: HeadKind,
        examples: Sequence[Example],
        held_out: Sequence[Example] = (),
        *,
        rows: int,
        seed: int,
        language: float = 0.0,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        sequences = [ids for example in (*examples, *held_out) for ids in example.sequences]
        if not examples or any(not 0 < len(ids) <= config.n_positions for ids in sequences):
            raise DataError(f"Every text must have from 1 to {config.n_positions} tokens, and there must be one.")
        self._config, self.kind, self._language = config, kind, language
        window, tags = config.n_positions, kind == "tags"
        self._stream = Examples(examples, rows=rows, seed=seed, per_token=tags, window=window)
        self._held_out = in_batches(held_out, rows, per_token=tags, window=window)
        self._identity = {"set of examples": digest(examples), **(identity or {})}

    @property
    def config(self) -> GPT2Config:
        """The shape of the model below the head."""
        return self._config

    @property
    def identity(self) -> Mapping[str, Any]:
        """The examples, and whatever else was said to be of the run."""
        return self._identity

    @property
    def stream(self) -> Examples:
        """The examples in random order."""
        return self._stream

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the summed loss and the number of targets (`head_loss`).

        While a model learns, `language` times the mean cross-entropy of the batch's next tokens is added for each
        target: GPT-1's auxiliary objective (section 3.2, equation 5). A validation is of the task alone.
        """
        assert isinstance(model, Headed)
        ids, last, targets = batch
        states = model.states(ids, last)  # (B, S, T, C)
        total, count = head_loss(self.kind, model.logits(states, last), targets)
        if self._language and model.training:
            following = next_ids(ids, last)  # (B, S, T)
            nats = cross_entropy_sum(states.flatten(0, 2), model.gpt.head_weight, following.flatten())
            total = total + self._language * count * nats / (following != IGNORE).sum().clamp(min=1)
        return total, count

    def validation(self) -> Sequence[Batch]:
        """Return the held-out examples, as many at a time as a step reads."""
        return self._held_out

    def metrics(self, nats: float, count: float) -> Mapping[str, float]:
        """Return nothing besides the loss."""
        return {}

    def exported(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the GPT-2 below the head."""
        return {name.removeprefix(_BODY): tensor for name, tensor in tensors.items() if name.startswith(_BODY)}


def next_ids(ids: Tensor, last: Tensor) -> Tensor:
    """Return the id behind each of `padded`'s ids as (B, S, T); at and behind a sequence's last token, `IGNORE`."""
    b, s = last.shape
    apart = ids.view(b, s, -1)
    following = torch.roll(apart, -1, dims=2)
    inside = torch.arange(apart.shape[2], device=ids.device) < last.unsqueeze(2)
    return torch.where(inside, following, IGNORE)
