"""lm-eval's own task files for questions, against our lm-eval presets: what is asked, and how answers count."""

from __future__ import annotations

import random
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from gpt2lab.evals.conversations import Conversation, Coqa
from gpt2lab.evals.place import Place
from gpt2lab.evals.questions import Question, Questions
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import Generate, LogLikelihood, Written
from gpt2lab.metrics.answers import exact_match, exact_match_lm_eval, f1

lm_eval_tasks = pytest.importorskip("lm_eval.tasks")

pytestmark = pytest.mark.filterwarnings("ignore")


def task(name: str) -> Any:
    return load_task(name, preset="lm-eval", place=Place(None, offline=True))


def config(file: str) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(Path(lm_eval_tasks.__file__).parent / file, resolve_func=False)


def filled(template: str, **fields: str) -> str:
    import jinja2

    return jinja2.Template(template, keep_trailing_newline=True).render(**fields)


def test_natural_questions_are_asked_alike() -> None:
    theirs, ours = config("nq_open/nq_open.yaml"), task("nq")
    assert isinstance(ours, Questions)
    (asked,) = ours.requests(Question("who sang it", ("A",)))
    assert isinstance(asked, Generate)
    assert asked.prompt == theirs["description"] + filled(theirs["doc_to_text"], question="who sang it")
    assert list(asked.until) == theirs["generation_kwargs"]["until"]
    assert asked.options == {}, "greedy"
    assert not theirs["generation_kwargs"]["do_sample"]


def test_natural_questions_count_alike() -> None:
    from lm_eval.api.metrics import exact_match_hf_evaluate

    (metric,) = config("nq_open/nq_open.yaml")["metric_list"]
    options = {k: metric[k] for k in ("ignore_case", "ignore_punctuation", "regexes_to_ignore")}
    rng = random.Random(5)
    words = ["The", "the", "An", "a", "Beatles", "beatles!", "cat", "A.", "", "then"]
    matches = 0
    for _ in range(500):
        given, right = (" ".join(rng.choice(words) for _ in range(rng.randint(1, 3))) for _ in range(2))
        theirs = exact_match_hf_evaluate(predictions=[given], references=[right], **options)["exact_match"]
        assert exact_match_lm_eval(given, right) == float(theirs), (given, right)
        matches += int(theirs)
    assert 0 < matches < 500


def test_web_questions_are_asked_alike() -> None:
    from lm_eval.tasks.webqs.utils import doc_to_choice

    theirs, ours = config("webqs/webqs.yaml"), task("webqs")
    answers = ["Paris, France", "Rome", "Paris", "Romeo", "Ostia"]
    asked = ours.requests(Question("where is it?", tuple(answers)))
    assert {r.context for r in asked if isinstance(r, LogLikelihood)} == {
        filled(theirs["doc_to_text"], question="where is it?")
    }
    # lm-eval joins context and choice with its target_delimiter, a blank unless the task says otherwise
    expected = [theirs.get("target_delimiter", " ") + choice for choice in doc_to_choice({"answers": list(answers)})]
    assert [r.continuation for r in asked if isinstance(r, LogLikelihood)] == expected


@pytest.fixture
def coqa_utils(monkeypatch: pytest.MonkeyPatch) -> Any:
    """lm-eval's module for CoQA; it takes SQuAD's two measures from a module that transformers no longer has."""
    name = "transformers.data.metrics.squad_metrics"
    squad = types.ModuleType(name)
    squad.compute_exact = lambda right, given: exact_match(given, right)  # type: ignore[attr-defined]
    squad.compute_f1 = lambda right, given: f1(given, right)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, squad)
    for parent in ("transformers", "transformers.data", "transformers.data.metrics"):
        package = types.ModuleType(parent)
        monkeypatch.setitem(sys.modules, parent, package)
    sys.modules["transformers"].data = sys.modules["transformers.data"]  # type: ignore[attr-defined]
    sys.modules["transformers.data"].metrics = sys.modules["transformers.data.metrics"]  # type: ignore[attr-defined]
    sys.modules["transformers.data.metrics"].squad_metrics = squad  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "lm_eval.tasks.coqa.utils", raising=False)
    from importlib import import_module

    return import_module("lm_eval.tasks.coqa.utils")


def test_conversations_are_asked_and_count_alike(coqa_utils: Any) -> None:
    ours = task("coqa")
    assert isinstance(ours, Coqa)
    doc = {
        "story": "A cat sat.",
        "questions": {"input_text": ["Who?", "Where?"]},
        "answers": {"input_text": ["a cat", "on a mat"]},
        "additional_answers": {"0": {"input_text": ["cat", "On a mat"]}, "1": {"input_text": ["x", "the blue mat"]}},
    }
    same = Conversation(
        "A cat sat.", ("Who?", "Where?"), (("a cat", "cat", "x"), ("on a mat", "On a mat", "the blue mat"))
    )
    (asked,) = ours.requests(same)
    assert isinstance(asked, Generate)
    assert asked.prompt == coqa_utils.doc_to_text(doc)
    assert list(asked.until) == config("coqa/default.yaml")["generation_kwargs"]["until"]
    for said in (" on a mat", " the mat\nQ: no", "", " blue mat there", " On a mat."):
        theirs = coqa_utils.process_results(doc, [said])
        (row,) = ours.rows(same, [Written(said, (), ())])
        assert (row["f1"], row["exact_match"]) == pytest.approx((theirs["f1"], theirs["em"]))
