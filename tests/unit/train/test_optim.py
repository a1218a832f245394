"""The optimizers: who updates what, and Muon against its definition."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.muon import Muon, orthogonalise
from gpt2lab.train.optim import build_optimizers, layer_shares
from gpt2lab.train.recipe import OptimizerRecipe

CONFIG = GPT2Config(vocab_size=17, n_positions=5, n_embd=8, n_layer=2, n_head=2, tie_word_embeddings=False)


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16), (1, 8)])
def test_orthogonalising_keeps_directions_and_levels_sizes(shape: tuple[int, int]) -> None:
    m = matrix(*shape)
    u, s, v = torch.linalg.svd(m, full_matrices=False)
    result = orthogonalise(m)
    coordinates = u.t() @ result @ v.t()
    levelled = coordinates.diagonal()
    assert ((levelled > 0.5) & (levelled < 1.3))[s > 0.05 * s.max()].all()
    torch.testing.assert_close(coordinates, torch.diag(levelled), rtol=0, atol=1e-4)


def test_orthogonalising_does_not_depend_on_the_size_of_the_gradient() -> None:
    torch.testing.assert_close(orthogonalise(matrix(4, 6) * 1e3), orthogonalise(matrix(4, 6)), rtol=1e-3, atol=1e-4)
    assert torch.equal(orthogonalise(torch.zeros(3, 3)), torch.zeros(3, 3))


def test_orthogonalising_in_bfloat16_is_near_and_leaves_the_type() -> None:
    m = matrix(16, 24)
    result = orthogonalise(m, products=torch.bfloat16)
    assert result.dtype == torch.float32
    assert not torch.equal(result, orthogonalise(m))
    assert (result - orthogonalise(m)).norm() < 0.05 * result.norm()


def test_muon_computes_in_the_type_of_the_products_and_keeps_its_state_in_float32() -> None:
    model = GPT(CONFIG, torch.Generator().manual_seed(0))
    recipe = OptimizerRecipe(name="muon", lr=1.0, weight_decay=0.0, momentum=0.0)
    _, muon = build_optimizers(model, recipe, torch.bfloat16)
    name, parameter = next((n, p) for n, p in model.named_parameters() if n.endswith("mlp.c_fc.weight"))
    before, parameter.grad = parameter.detach().clone(), matrix(8, 32)
    muon.step()
    direction = orthogonalise(parameter.grad, products=torch.bfloat16) * 0.2 * 32**0.5
    torch.testing.assert_close(before - parameter.detach(), direction, msg=name)
    assert muon.state[parameter]["momentum"].dtype == torch.float32


def test_muon_follows_its_definition_over_two_steps() -> None:
    start, gradients = matrix(6, 10, 1), [matrix(6, 10, 2), matrix(6, 10, 3)]
    parameter = torch.nn.Parameter(start.clone())
    muon = Muon([parameter], lr=0.1, momentum=0.9, weight_decay=0.5)
    expected, velocity = start.clone(), torch.zeros(6, 10)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        muon.step()
        velocity = 0.9 * velocity + 0.1 * gradient
        update = orthogonalise(0.1 * gradient + 0.9 * velocity) * 0.2 * 10**0.5
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * update
        torch.testing.assert_close(parameter.data, expected)
        assert torch.equal(parameter.grad, gradient)


def test_queries_keys_and_values_are_three_matrices() -> None:
    gradient = torch.cat([matrix(6, 6, seed) * 10.0**seed for seed in range(3)], dim=1)
    parameter = torch.nn.Parameter(torch.zeros(6, 18))
    parameter.grad = gradient
    Muon([parameter], lr=1.0, momentum=0.0, weight_decay=0.0).step()
    for part, own in zip(torch.split(parameter.data, 6, 1), torch.split(gradient, 6, 1), strict=True):
        torch.testing.assert_close(part, -orthogonalise(own) * 0.2 * 6**0.5)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_parameter_has_exactly_one_optimizer(name: str) -> None:
    model = GPT(CONFIG)
    optimizers = build_optimizers(model, OptimizerRecipe(name=name))  # type: ignore[arg-type]
    held = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_what_decays_and_what_is_muons() -> None:
    model = GPT(CONFIG)
    names = {id(p): n for n, p in model.named_parameters()}
    adam, muon = build_optimizers(model, OptimizerRecipe(name="muon", lr=0.02, adam_lr=0.003, weight_decay=0.1))
    decayed, plain = ({names[id(p)] for p in group["params"]} for group in adam.param_groups)
    hidden = {names[id(p)] for p in muon.param_groups[0]["params"]}
    assert decayed == {"transformer.wte.weight", "lm_head.weight"}
    assert hidden == {n for n in names.values() if n.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))}
    assert "transformer.wpe.weight" in plain
    assert [g["weight_decay"] for g in adam.param_groups] == [0.1, 0.0]
    assert [g["peak_lr"] for o in (adam, muon) for g in o.param_groups] == [0.003, 0.003, 0.02]


def test_frozen_parameters_are_left_out() -> None:
    model = GPT(CONFIG)
    model.transformer.wte.weight.requires_grad_(False)
    held = [id(p) for o in build_optimizers(model, OptimizerRecipe()) for g in o.param_groups for p in g["params"]]
    assert id(model.transformer.wte.weight) not in held


def test_lower_layers_learn_at_lower_rates() -> None:
    shares = layer_shares(GPT(CONFIG), 0.5)
    assert shares["transformer.wte.weight"] == shares["transformer.wpe.weight"] == 0.125
    assert shares["transformer.h.0.mlp.c_fc.weight"] == 0.25
    assert shares["transformer.h.1.ln_1.bias"] == 0.5
    assert shares["transformer.ln_f.weight"] == shares["lm_head.weight"] == 1.0
    for name in ("adamw", "muon"):
        model = GPT(CONFIG)
        optimizers = build_optimizers(model, OptimizerRecipe(name=name, lr=0.1, layer_decay=0.5))
        rates = {id(p): g["peak_lr"] for o in optimizers for g in o.param_groups for p in g["params"]}
        for parameter, share in zip(model.parameters(), layer_shares(model, 0.5).values(), strict=True):
            assert rates[id(parameter)] == pytest.approx(0.1 * share)


def test_alike_rates_are_the_groups_there_always_were() -> None:
    (optimizer,) = build_optimizers(GPT(CONFIG), OptimizerRecipe())
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert {group["peak_lr"] for group in optimizer.param_groups} == {1e-3}
