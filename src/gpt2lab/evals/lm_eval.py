"""EleutherAI's lm-eval on our models: every task of theirs on the native engine, a GGUF file or an OpenAI folder.

    python -m gpt2lab.evals.lm_eval run --model gpt2lab --model_args model=gpt2,precision=int8 --tasks hellaswag

takes lm-eval's own command line and knows one more model, `gpt2lab`; from Python it is `register()` before
`lm_eval.simple_evaluate(model="gpt2lab", …)`. Needs lm-eval, which is no part of gpt2lab: pip install lm-eval.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from gpt2lab.errors import RequestError
from gpt2lab.evals.requests import Generate, Likely, LogLikelihood, Rolled, Rolling, Written
from gpt2lab.evals.scorer import Scorer
from gpt2lab.lm.model import LanguageModel

NAME = "gpt2lab"
_MAX_NEW_TOKENS = 256  # lm-eval's default
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "num_beams", "seed")


@cache
def register() -> type[Any]:
    """Make lm-eval know the model `gpt2lab`, and return its class. Raises `RequestError` where lm-eval is missing.

    The class takes `model` (anything that `LanguageModel.load` loads, or a `LanguageModel`), `precision`, `threads`,
    `device`, `models_dir` and `offline`, as `model_args` of lm-eval's command line gives them.
    """
    try:
        from lm_eval.api.model import LM
        from lm_eval.api.registry import register_model
    except ImportError:
        raise RequestError("The bridge to lm-eval needs lm-eval itself: pip install lm-eval") from None

    class Gpt2LabLM(LM):  # type: ignore[misc]  # lm-eval has no types
        """A model of gpt2lab with lm-eval's three requests."""

        def __init__(
            self,
            model: str | LanguageModel = "tiny",
            *,
            precision: str = "fp32",
            threads: int | None = None,
            device: str | None = None,
            models_dir: str | None = None,
            offline: bool = False,
            batch_size: Any = None,
            max_batch_size: Any = None,
        ) -> None:
            super().__init__()
            del batch_size, max_batch_size  # lm-eval gives them to every model; ours finds its own
            lm = model
            if not isinstance(lm, LanguageModel):
                lm = LanguageModel.load(
                    str(model), precision=precision, threads=threads, device=device or "cpu", models_dir=models_dir,
                    offline=offline,
                )  # fmt: skip
            self.scorer = Scorer(lm)

        @property
        def tokenizer_name(self) -> str:
            """What lm-eval calls the vocabulary in the names of its caches."""
            return self.scorer.lm.source

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            """See lm-eval's `LM.loglikelihood`."""
            answers = self.scorer.answer([LogLikelihood(*request.args) for request in requests])
            return [(a.logprob, a.greedy) for a in answers if isinstance(a, Likely)]

        def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
            """See lm-eval's `LM.loglikelihood_rolling`."""
            answers = self.scorer.answer([Rolling(request.args[0]) for request in requests])
            return [a.logprob for a in answers if isinstance(a, Rolled)]

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            """See lm-eval's `LM.generate_until`."""
            answers = self.scorer.answer([_generate(*request.args) for request in requests])
            return [a.text for a in answers if isinstance(a, Written)]

    made: type[Any] = register_model(NAME)(Gpt2LabLM)
    return made


def _generate(prompt: str, given: dict[str, Any]) -> Generate:
    """Return lm-eval's request in our words."""
    until = given.get("until") or ()
    sampled = given.get("do_sample", False)
    return Generate(
        prompt,
        until=(until,) if isinstance(until, str) else tuple(until),
        max_new_tokens=int(given.get("max_gen_toks", _MAX_NEW_TOKENS)),
        options={name: given[name] for name in _SAMPLING if name in given} if sampled else {},
    )


def main() -> None:
    """Run lm-eval's command line with our model registered."""
    register()
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
