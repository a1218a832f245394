"""Which layers of a model learn: freezing, and rows of new tokens that learn above a frozen embedding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpt2lab.errors import ConfigError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT

_NEW = "new_rows"


def check_depth(layers: int, config: GPT2Config) -> None:
    """Raise `ConfigError` when a model has not so many layers to freeze."""
    if layers > config.n_layer:
        raise ConfigError(f"freeze_layers = {layers}, but the model has {config.n_layer} layers.")


def freeze(model: GPT, layers: int) -> None:
    """Keep the embeddings and the first `layers` blocks as they are; 0 freezes nothing. Raises `ConfigError`."""
    check_depth(layers, model.config)
    if layers:
        for module in (*(model.transformer.h[i] for i in range(layers)), model.transformer.wte, model.transformer.wpe):
            module.requires_grad_(False)


class NewRows(nn.Embedding):
    """A frozen embedding whose last rows learn: those of tokens that the model did not know.

    A tied head keeps reading the frozen matrix, so what it expects of these tokens alone does not change.
    """

    def __init__(self, plain: nn.Embedding, count: int) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = plain.num_embeddings, plain.embedding_dim
        self.weight = plain.weight
        self.first = plain.num_embeddings - count
        self.new_rows = nn.Parameter(plain.weight.detach()[self.first :].clone())

    def forward(self, input: Tensor) -> Tensor:
        """Map ids of any shape to rows (…, C)."""
        known = F.embedding(input, self.weight)
        new = F.embedding((input - self.first).clamp(min=0), self.new_rows)
        return torch.where((input >= self.first).unsqueeze(-1), new, known)

    def extra_repr(self) -> str:
        """Return the sizes, as an embedding does."""
        return f"{self.num_embeddings}, {self.embedding_dim}, learning from {self.first} on"

    @staticmethod
    def add(model: GPT, count: int) -> None:
        """Let the last `count` rows of `model`'s frozen embedding learn, in place."""
        if count:
            model.transformer.wte = NewRows(model.transformer.wte, count)


def with_new_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's tensors with the rows that `NewRows` learnt put into their embeddings."""
    plain = {name: t for name, t in tensors.items() if not name.endswith(_NEW)}
    for name, rows in tensors.items():
        if name.endswith(_NEW):
            stem = name.removesuffix(_NEW)
            weight = plain[stem + "weight"].clone()
            weight[len(weight) - len(rows) :] = rows
            plain[stem + "weight"] = weight
    return plain
