"""What training computes again instead of keeping: layer norms, GELU and the weights' copies in the type of products.

These make a third of what a block keeps for its backward pass and a hundredth of a step's time (Korthikanti et al.
2022, "Reducing Activation Recomputation in Large Transformer Models", section 5, draws the line elsewhere: at what is
large and cheap). Everything else is kept; `train.checkpoint_activations` goes further.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpt2lab.model.gpt import Block, Conv1D, linear, one_after_another
from gpt2lab.train.operations import NativeProduct


def recompute_inputs(model: nn.Module) -> None:
    """Have every block of `model` keep what goes into its norms and GELU, and not what comes out of them."""
    for module in model.modules():
        if isinstance(module, Block):
            module.then = _again


def _again(first: Callable[[Tensor], Tensor], second: nn.Module, x: Tensor) -> Tensor:
    """Return second(first(x)), with `first` computed again in the backward pass.

    PyTorch stops computing again once it has what the backward pass asks for, which is before a plain product is
    formed. Others save what they need after they are done, so for them this would cost a product.
    """
    plain = type(second) is Conv1D and (second.product is linear or isinstance(second.product, NativeProduct))
    if not plain or not torch.is_grad_enabled():
        return one_after_another(first, second, x)
    out: Tensor = checkpoint(one_after_another, first, second, x, use_reentrant=False, preserve_rng_state=False)
    return out
