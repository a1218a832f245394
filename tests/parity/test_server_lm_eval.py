"""lm-eval's client of completions APIs (echo and logprobs) against our server: transformers' figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lm_eval_tasks import lm_eval_figures, transformers_in_lm_eval
from gpt2lab.checkpoint import load
from gpt2lab.evals import corpora
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from live_server import Live, live_server
from random_gpt2 import transformers_model

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lm_eval")
pytest.importorskip("aiohttp")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_server({"tiny": "tiny"}) as server:
        yield server


@pytest.fixture(scope="module")
def over_http(live: Live) -> Any:
    """lm-eval's model that asks our server."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    return LocalCompletionsAPI(
        base_url=f"{live.url}/v1/completions", model="tiny", tokenizer=str(load("tiny").path),
        tokenizer_backend="huggingface", num_concurrent=4, batch_size=2, max_length=load("tiny").config.n_positions,
        max_retries=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def in_process() -> Any:
    found = load("tiny")
    return transformers_in_lm_eval(
        transformers_model(found.config, found.tensors), found.path / "tokenizer.json", batch_size=4
    )


def test_figures_are_those_of_transformers(over_http: Any, in_process: Any, shared_data: Path) -> None:
    place = Place(shared_data / "eval", offline=True)
    passages = load_task("lambada", preset="lm-eval", place=place).load(12)[0]
    documents = [{"text": text} for text in passages]
    ours = lm_eval_figures(over_http, "lambada_openai", documents)
    theirs = lm_eval_figures(in_process, "lambada_openai", documents)
    assert ours["acc"] == theirs["acc"]
    assert ours["perplexity"] == pytest.approx(theirs["perplexity"], rel=1e-3)


def test_rolling_windows_too(over_http: Any, in_process: Any, shared_data: Path) -> None:
    lines = corpora.load_lines("wikitext2_raw", Place(shared_data / "eval" / "wikitext2_raw", offline=True), 40)[0]
    documents = [{"page": page} for page in corpora.pages(lines)]
    ours = lm_eval_figures(over_http, "wikitext", documents)
    theirs = lm_eval_figures(in_process, "wikitext", documents)
    assert ours["bits_per_byte"] == pytest.approx(theirs["bits_per_byte"], rel=1e-3)


def test_texts_are_generated_alike(over_http: Any, in_process: Any) -> None:
    from lm_eval.api.instance import Instance

    def asked(prompt: str) -> Instance:
        given = (prompt, {"until": [".", "\n"], "max_gen_toks": 24, "do_sample": False})
        return Instance("generate_until", {}, given, 0, ("name", 0, 1))

    prompts = ["The old house", "She looked at the sea and", "In the morning"]
    assert over_http.generate_until([asked(p) for p in prompts]) == in_process.generate_until(
        [asked(p) for p in prompts]
    )
