"""MKL's vector functions are chosen before a model can depend on them: one number at a time, once in a process."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the model needs torch")

from gpt2lab.model import vector_math  # noqa: E402
from gpt2lab.model.gpt import GPT  # noqa: E402
from random_gpt2 import MODEL  # noqa: E402


def test_the_first_model_has_every_function_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, int, str, Any]] = []

    def watched(name: str) -> Any:
        real = getattr(torch, name)

        def call(x: Any) -> Any:
            called.append((name, x.numel(), x.device.type, x.dtype))
            return real(x)

        return call

    for name in vector_math.FUNCTIONS:
        monkeypatch.setattr(torch, name, watched(name))
    vector_math._settled.cache_clear()
    with torch.device("meta"):
        GPT(MODEL)
    expected = [(name, 1, "cpu", dtype) for dtype in (torch.float32, torch.float64) for name in vector_math.FUNCTIONS]
    assert called == expected
    GPT(MODEL)
    assert called == expected


@pytest.mark.parametrize("name", vector_math.FUNCTIONS)
def test_many_numbers_in_many_threads_are_what_one_is(name: str) -> None:
    vector_math.settle()
    numbers = torch.linspace(0.01, 0.99, 40_000)
    function = getattr(torch, name)
    exact = function(numbers.double())
    assert float(((function(numbers) - exact).abs() / exact.abs().clamp_min(1e-3)).max()) < 2e-6
