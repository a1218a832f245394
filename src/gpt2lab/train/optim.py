"""Which optimizer updates which parameter, and the way from an optimizer's state to named tensors and back.

Whatever does not require a gradient (frozen layers) belongs to no optimizer. AdamW: Loshchilov and Hutter (2019);
Adafactor: Shazeer and Stern (2018); Muon: train/muon.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gpt2lab.errors import ConfigError
from gpt2lab.train.muon import Muon
from gpt2lab.train.recipe import OptimizerRecipe

_BLOCK, _EMBEDDING = re.compile(r"(?:^|\.)h\.(\d+)\."), re.compile(r"(?:^|\.)w[tp]e\.")
_SCALARS = ("step",)
"""State that is one number a parameter."""


def build_optimizers(
    model: nn.Module, recipe: OptimizerRecipe, products: torch.dtype | None = None
) -> list[torch.optim.Optimizer]:
    """Return the optimizers of `model` together: each group holds its peak rate under "peak_lr".

    Matrices decay, gains, biases and embeddings of positions do not. With Muon, the matrices inside the blocks are
    Muon's, which computes in the type `products`; embeddings, heads and everything one-dimensional are AdamW's. Raises
    `ConfigError` when all is frozen.
    """
    shares = layer_shares(model, recipe.layer_decay)
    sorted_out: dict[tuple[str, float], list[nn.Parameter]] = {}  # (kind, share of the rate) -> parameters
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2 or name.endswith("wpe.weight"):
            kind = "plain"
        elif recipe.name == "muon" and ".h." in name and parameter.ndim == 2:
            kind = "hidden"
        else:
            kind = "decayed"
        sorted_out.setdefault((kind, shares[name]), []).append(parameter)
    if not sorted_out:
        raise ConfigError("There is nothing to train: every parameter of the model is frozen.")
    decays = {"decayed": recipe.weight_decay, "plain": 0.0}
    groups = [
        {"params": part, "weight_decay": decay, "share": share}
        for wanted, decay in decays.items()
        for (kind, share), part in sorted_out.items()
        if kind == wanted
    ]
    hidden = [{"params": part, "share": share} for (kind, share), part in sorted_out.items() if kind == "hidden"]
    optimizers: list[torch.optim.Optimizer] = [_for_all(groups, recipe)] if groups else []
    if hidden:
        optimizers.append(
            Muon(hidden, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, products=products)
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"] * group.pop("share")
    return optimizers


def layer_shares(model: nn.Module, decay: float) -> dict[str, float]:
    """Return each parameter's share of the learning rate by its name: `decay` to the power of the layers above it.

    Layers are the embeddings, the blocks, and all that comes behind them, which has the whole rate (Howard and Ruder
    2018, "discriminative fine-tuning").
    """
    blocks = {name: int(m[1]) for name, _ in model.named_parameters() if (m := _BLOCK.search(name))}
    top = max(blocks.values(), default=-1) + 2
    depths = {name: 0 if _EMBEDDING.search(name) else top for name, _ in model.named_parameters()}
    depths |= {name: block + 1 for name, block in blocks.items()}
    return {name: decay ** (top - depth) for name, depth in depths.items()}


def _for_all(groups: list[dict[str, Any]], recipe: OptimizerRecipe) -> torch.optim.Optimizer:
    """Return the optimizer of everything that is not Muon's."""
    betas = (recipe.betas[0], recipe.betas[1])
    if recipe.name == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, fused=True)
    if recipe.name == "adafactor":
        return torch.optim.Adafactor(groups, lr=recipe.lr)
    if recipe.name == "adam":
        plain = [{**group, "weight_decay": 0.0} for group in groups]
        return torch.optim.Adam(plain, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
    lr = recipe.adam_lr if recipe.name == "muon" and recipe.adam_lr is not None else recipe.lr
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=recipe.eps, fused=True)


def named_state(model: nn.Module, optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return every tensor of the optimizers' states as "parameter's name:key"; nothing is copied."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}:{key}": value
        for optimizer in optimizers
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def blank_state(
    model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Give the optimizers zeros for every saved name among `shapes` and return them, to be filled in place.

    Tensors shaped as their parameter are laid out over the processes as it is.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    filled: dict[str, Tensor] = {}
    for optimizer in optimizers:
        optimizer.state.clear()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                prefix = f"{names[parameter]}:"
                for name, shape in shapes.items():
                    if not name.startswith(prefix):
                        continue
                    key = name[len(prefix) :]
                    alike = shape == tuple(parameter.shape) and key not in _SCALARS
                    value = torch.zeros_like(parameter) if alike else torch.zeros(shape, device=parameter.device)
                    optimizer.state[parameter][key] = filled[name] = value.detach()
    return filled
