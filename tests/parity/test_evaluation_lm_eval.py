"""EleutherAI's lm-eval, its own task files and its transformers backend, against our lm-eval presets and our bridge.

lm-eval's tasks load their data from the hub; here the same tasks get documents made of the files at hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from benchmarks.lm_eval_tasks import lm_eval_figures, lm_eval_task, transformers_in_lm_eval
from gpt2lab import LanguageModel
from gpt2lab.checkpoint import load
from gpt2lab.evals import choices, corpora
from gpt2lab.evals.lm_eval import register
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import LogLikelihood
from gpt2lab.evals.results import Result
from gpt2lab.evals.run import evaluate
from random_gpt2 import transformers_model

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lm_eval")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

Docs = list[dict[str, Any]]


class Peer(NamedTuple):
    """One model in both harnesses."""

    ours: LanguageModel
    theirs: Any


@pytest.fixture(scope="module", params=["tiny", "random"])
def peer(request: pytest.FixtureRequest, random_model: Path) -> Peer:
    source = "tiny" if request.param == "tiny" else random_model
    found = load(source)
    assert found.tokenizer is not None
    model = transformers_model(found.config, found.tensors)
    theirs = transformers_in_lm_eval(model, found.path / "tokenizer.json", batch_size=8)
    return Peer(LanguageModel.load(source, threads=1), theirs)


def same_questions(name: str, folder: Path, theirs: Any, limit: int) -> None:
    """Compare every context and continuation that the two harnesses ask, character for character."""
    task = load_task(name, preset="lm-eval", place=Place(folder, official=False))
    ours = [
        (request.context, request.continuation)
        for document in task.load(limit)[0]
        for request in task.requests(document)
        if isinstance(request, LogLikelihood)
    ]
    theirs.build_all_requests()
    assert ours == [instance.args for instance in theirs.instances]


def our_result(peer: Peer, name: str, folder: Path, limit: int) -> Result:
    task = load_task(name, preset="lm-eval", place=Place(folder, official=False))
    return evaluate(peer.ours, [task], limit=limit)[0]


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= 1e-4 * max(1.0, abs(theirs))


def test_wikitext(peer: Peer, shared_data: Path) -> None:
    folder, lines = shared_data / "eval" / "wikitext2_raw", 150
    read = corpora.load_lines("wikitext2_raw", Place(folder), lines)[0]
    docs = [{"page": page} for page in corpora.pages(read)]
    assert len(docs) > 2
    theirs = lm_eval_figures(peer.theirs, "wikitext", docs)
    ours = our_result(peer, "wikitext2", folder, lines).figures
    assert set(theirs) >= {"word_perplexity", "byte_perplexity", "bits_per_byte"}
    for name in ("word_perplexity", "byte_perplexity", "bits_per_byte"):
        assert close(ours[name].value, theirs[name]), (name, ours[name].value, theirs[name])


def test_the_articles_are_those_of_lm_evals_dataset(shared_data: Path) -> None:
    lines = corpora.load_lines("wikitext2_raw", Place(shared_data / "eval" / "wikitext2_raw"), None)[0]
    pages = corpora.pages(lines)
    assert len(pages) == 62  # as lm-eval counts its documents
    assert "\n".join(pages).split() == "\n".join(lines).split()


@pytest.mark.parametrize(
    ("name", "file"), [("lambada", "lambada_test.jsonl"), ("lambada_original", "lambada_test_plain_text.txt")]
)
def test_lambada(peer: Peer, shared_data: Path, name: str, file: str) -> None:
    folder, count = shared_data / "eval" / "lambada", 60
    raw = (folder / file).read_text(encoding="utf-8").splitlines()[:count]
    docs = [{"text": json.loads(line)["text"] if file.endswith("l") else line} for line in raw]
    yaml = "lambada_openai" if name == "lambada" else "lambada_standard"
    theirs = lm_eval_figures(peer.theirs, yaml, docs)
    same_questions(name, folder, lm_eval_task(yaml, docs), count)
    ours = our_result(peer, name, folder, count).figures
    assert close(ours["perplexity"].value, theirs["perplexity"])
    assert close(ours["accuracy_word"].value / 100, theirs["acc"])


def test_wsc273(peer: Peer, shared_data: Path) -> None:
    folder = shared_data / "eval" / "wsc273"
    docs = choices._read_winograd(folder / "wsc273.txt")
    same_questions("wsc273", folder, lm_eval_task("wsc273", docs), 273)
    docs = docs[:60]
    theirs = lm_eval_figures(peer.theirs, "wsc273", docs)
    assert close(our_result(peer, "wsc273", folder, 60).value / 100, theirs["acc"])


def test_storycloze(peer: Peer, shared_data: Path) -> None:
    folder, count = shared_data / "eval" / "storycloze", 60
    records = choices._read_stories(folder / "test.csv")[:count]
    names = {f"InputSentence{i}": f"input_sentence_{i}" for i in range(1, 5)} | {
        f"RandomFifthSentenceQuiz{i}": f"sentence_quiz{i}" for i in (1, 2)
    }
    docs = [
        {new: r[old] for old, new in names.items()} | {"answer_right_ending": int(r["AnswerRightEnding"])}
        for r in records
    ]
    same_questions("storycloze", folder, lm_eval_task("storycloze_2016", docs), count)
    theirs = lm_eval_figures(peer.theirs, "storycloze_2016", docs)
    assert close(our_result(peer, "storycloze", folder, count).value / 100, theirs["acc"])


def hellaswag_like(count: int) -> Docs:
    """Return made questions with HellaSwag's fields and marks."""
    rng = np.random.default_rng(5)
    sentence = "walks over to the sink and washes a plate [substeps] slowly while talking, then leaves the room"
    words = sentence.split()

    def some(n: int) -> str:
        return " ".join(rng.choice(words, n))

    return [
        {
            "ctx_a": f"[header] {some(4)} [title] {some(5)}.",
            "ctx_b": some(3) if i % 3 else "",
            "ctx": f"{some(9)}",
            "activity_label": some(2),
            "endings": [f"{some(3 + j + i % 4)}." for j in range(4)],
            "label": str(i % 4),
        }
        for i in range(count)
    ]


def test_hellaswag(peer: Peer, tmp_path: Path) -> None:
    docs = hellaswag_like(40)
    (tmp_path / "hellaswag_val.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs), encoding="utf-8")
    same_questions("hellaswag", tmp_path, lm_eval_task("hellaswag", docs), 40)
    theirs = lm_eval_figures(peer.theirs, "hellaswag", docs)
    ours = our_result(peer, "hellaswag", tmp_path, 40).figures
    assert close(ours["accuracy"].value / 100, theirs["acc"])
    assert close(ours["accuracy_norm"].value / 100, theirs["acc_norm"])


def instances(arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, a, i) for i, a in enumerate(arguments)]


def test_the_bridge_answers_as_transformers_does(peer: Peer) -> None:
    """Every request of lm-eval, to its class for transformers and to ours."""
    bridge = register()(peer.ours)
    sailor = "The old sailor walked slowly to the harbour."
    pairs = instances(
        [
            (sailor, " A grey cat"),
            ("", "My sister"),
            (f"{sailor} ", "waited"),
            (sailor * 40, " for seven green apples!"),
        ]
    )
    for ours, theirs in zip(bridge.loglikelihood(pairs), peer.theirs.loglikelihood(pairs), strict=True):
        assert abs(ours[0] - theirs[0]) < 1e-3
        assert ours[1] == theirs[1]
    texts = instances([(sailor,), (sailor * 50,)])
    np.testing.assert_allclose(
        bridge.loglikelihood_rolling(texts), peer.theirs.loglikelihood_rolling(texts), atol=1e-2, rtol=1e-5
    )
    written = instances(
        [(sailor, {"until": ["\n", "."], "max_gen_toks": 12}), ("A grey cat", {"until": "zzz", "max_gen_toks": 8})]
    )
    ours, theirs = bridge.generate_until(written), peer.theirs.generate_until(written)
    assert [text.strip() for text in ours] == [text.strip() for text in theirs]


def test_lm_eval_knows_our_model_by_name(random_model: Path) -> None:
    from lm_eval.evaluator import simple_evaluate

    register()
    docs = [{"text": f"The old sailor waited for the night train {word}"} for word in ("and", "again", "harbour")]
    task = lm_eval_task("lambada_openai", docs)
    arguments = f"model={random_model},threads=1"
    found = simple_evaluate(model="gpt2lab", model_args=arguments, tasks=[task], bootstrap_iters=0, log_samples=False)
    assert found is not None
    figures = {key.partition(",")[0]: value for key, value in found["results"]["lambada_openai"].items()}
    assert figures["perplexity"] > 1


def test_without_lm_eval_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpt2lab.errors import RequestError

    monkeypatch.setitem(__import__("sys").modules, "lm_eval.api.model", None)
    unregistered: Callable[[], Any] = register.__wrapped__
    with pytest.raises(RequestError, match="The bridge to lm-eval needs lm-eval itself: pip install lm-eval"):
        unregistered()
