"""How the weights of a new GPT-2 are drawn.

Source: Radford et al. (2019), section 2.3: N(0, initializer_range) everywhere, projections into the residual stream
smaller by 1/sqrt(number of residual layers), of which a model of n_layer blocks has 2 * n_layer; biases 0, gains 1.
What compresses keys and values begins near their mean.
"""

from __future__ import annotations

import torch
from torch import nn

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.long import Compression


@torch.no_grad()
def initialise(model: nn.Module, config: GPT2Config, generator: torch.Generator | None = None) -> None:
    """Draw every parameter of `model` in place, in the order of its state dict, from `generator`."""
    residual_std = config.initializer_range * (2 * config.n_layer) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            std = residual_std if name.endswith("c_proj.weight") else config.initializer_range
            parameter.normal_(0.0, std, generator=generator)
    for module in model.modules():
        if isinstance(module, Compression):
            mean = torch.eye(module.weight.shape[2], device=module.weight.device) / module.factor
            module.weight.add_(mean.repeat(module.factor, 1))
