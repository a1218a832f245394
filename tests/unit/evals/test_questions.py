"""Open questions: prompts, the three ways to count an answer, confidence, and files that are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.place import Place
from gpt2lab.evals.questions import EXAMPLES, Question, Questions
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import Generate, Likely, LogLikelihood, Written
from gpt2lab.evals.run import evaluate

ASKED = Question("who sang it", ("The Beatles", "Beatles"))


def task(name: str = "nq", preset: str | None = None, folder: Path | None = None, **settings: object) -> Questions:
    found = load_task(name, preset=preset, place=Place(folder, offline=True, official=False), settings=settings)
    assert isinstance(found, Questions)
    return found


def written(text: str, *logprobs: float) -> Written:
    return Written(text, tuple(range(len(logprobs))), logprobs)


def likely(greedy: bool) -> Likely:
    return Likely(logprob=-1.0, greedy=greedy, token_ids=(1,), logprobs=(-1.0,), likeliest=(1,), allowed=(1,))


# --- what is asked


def test_the_papers_prompt_is_seeded_with_examples() -> None:
    (asked,) = task(shots=2).requests(ASKED)
    (q1, a1), (q2, a2) = EXAMPLES[:2]
    assert asked == Generate(f"Q: {q1}?\nA: {a1}\n\nQ: {q2}?\nA: {a2}\n\nQ: who sang it?\nA:", ("\n",), 32)
    assert task(shots=0).prompt("who sang it? ") == "Q: who sang it?\nA:"


def test_lm_evals_prompts() -> None:
    (asked,) = task(preset="lm-eval").requests(ASKED)
    assert asked == Generate("Answer these questions:\n\nQ: who sang it?\nA:", ("\n", ".", ","), 256)
    asked = task("webqs").requests(Question("where is it?", ("Paris, France", "Rome", "Paris")))
    prompt = "Question: where is it?\nAnswer:"
    assert asked == [LogLikelihood(prompt, " Paris"), LogLikelihood(prompt, " Rome")]


def test_no_example_is_asked(shared_data: Path) -> None:
    asked = {
        json.loads(line)["question"].lower()
        for line in (shared_data / "eval/nq_open/NQ-open.dev.jsonl").read_text(encoding="utf-8").splitlines()
    }
    assert not asked & {question for question, _ in EXAMPLES}


# --- how answers count


@pytest.mark.parametrize(
    ("text", "match", "overlap"), [(" the beatles.", 1, 1), (" The Rolling Stones", 0, 0), (" Beatles of old", 0, 0.5)]
)
def test_a_written_answer(text: str, match: float, overlap: float) -> None:
    (row,) = task().rows(ASKED, [written(text, -0.5, -0.25)])
    assert (row["questions"], row["exact_match"]) == (1, match)
    assert row["f1"] == pytest.approx(overlap)
    assert row["confidence"] == pytest.approx(math.exp(-0.75))


def test_lm_evals_ways() -> None:
    assert task(preset="lm-eval").rows(ASKED, [written(" The Beatles", -1)])[0]["exact_match"] == 1
    assert task(preset="lm-eval").rows(ASKED, [written(" The  Beatles", -1)])[0]["exact_match"] == 0
    webqs = task("webqs")
    assert webqs.rows(ASKED, [likely(False), likely(True)]) == [{"questions": 1, "exact_match": 1}]
    assert webqs.rows(ASKED, [likely(False), likely(False)])[0]["exact_match"] == 0


def test_confidence() -> None:
    rows = [{"confidence": 0.9, "exact_match": 1.0}] * 10 + [{"confidence": 0.3, "exact_match": 0.0}] * 90
    found = task().further(rows)
    assert found["top_1_percent"] == found["top_10_percent"] == 100
    assert found["calibration_error"] == pytest.approx((10 * 0.1 + 90 * 0.3) / 100)
    turned = [{**row, "exact_match": 1 - row["exact_match"]} for row in rows]
    assert task().further(turned)["top_10_percent"] == 0
    assert task("webqs").further(rows) == {}
    assert task().further([]) == {}


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert task().further([{"confidence": 1.0, "exact_match": 1.0}] * 25)["calibration_error"] == 0


# --- from files to figures


def natural(folder: Path) -> Path:
    records = [{"question": f"who is number {i}", "answer": [f"person {i}", "nobody"]} for i in range(5)]
    (folder / "NQ-open.dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return folder


def test_the_whole_way(tmp_path: Path, random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    (result,) = evaluate(lm, [task(folder=natural(tmp_path), shots=0, max_new_tokens=4)], limit=4)
    assert result.documents == 4
    assert result.main == "exact_match"
    assert set(result.figures) == {"exact_match", "f1", "top_1_percent", "top_10_percent", "calibration_error"}
    assert result.data["counts"] == {"questions": 5}
    (web,) = evaluate(lm, [task("webqs", folder=web_questions(tmp_path))])
    assert set(web.figures) == {"exact_match"}


def test_a_model_that_knows_is_right(tmp_path: Path, random_model: Path) -> None:
    """What the model writes is taken as the accepted answer of each question: then all are right, greedily too."""
    lm = LanguageModel.load(random_model, threads=1)
    asked = task(shots=0, max_new_tokens=3)
    questions = [f"is it {i}" for i in range(4)]
    said = [lm.generate(asked.prompt(q), temperature=0, max_new_tokens=3, stop="\n")[0].text for q in questions]
    records = [{"question": q, "answer": [s]} for q, s in zip(questions, said, strict=True)]
    (tmp_path / "NQ-open.dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    (result,) = evaluate(lm, [task(folder=tmp_path, shots=0, max_new_tokens=3)])
    assert result.value == 100


def web_questions(folder: Path) -> Path:
    records = [{"qId": "1", "qText": "what is it?", "answers": ["a cat", "a dog"]}]
    (folder / "webquestions.examples.test.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def test_the_files_at_hand_are_whole(shared_data: Path) -> None:
    place = Place(shared_data / "eval", offline=True)
    for name, count in (("nq", 3610), ("webqs", 2032)):
        questions, about = load_task(name, place=place).load()
        assert (len(questions), about.official) == (count, True)
        assert all(q.text and q.answers for q in questions)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("nq", "NQ-open.dev.jsonl", "{", "is damaged: line 1 is not JSON."),
        (
            "nq",
            "NQ-open.dev.jsonl",
            '{"question": "a"}',
            "is damaged: line 1 has no 'question' with a list of 'answer'.",
        ),
        ("nq", "NQ-open.dev.jsonl", '{"question": "a", "answer": []}', "line 1 has no 'question' with a list"),
        ("nq", "NQ-open.dev.jsonl", "[]", "line 1 has no 'question' with a list"),
        ("webqs", "webquestions.examples.test.json", "[", "is damaged: it is not JSON."),
        ("webqs", "webquestions.examples.test.json", "{}", "is damaged: it is not a list of questions."),
        ("webqs", "webquestions.examples.test.json", '[{"qText": 1, "answers": ["a"]}]', "question 1 has no 'qText'"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        task(name, folder=tmp_path).load()
    assert message in str(caught.value)


def test_a_wrong_count_is_refused(tmp_path: Path) -> None:
    place = Place(natural(tmp_path), offline=True)
    with pytest.raises(DataError, match="holds 5 questions where the official file has 3,610"):
        load_task("nq", place=place).load()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": 99}, "shots = 99 must be from 0 to 8"),
        ({"max_new_tokens": 0}, "max_new_tokens = 0 must be at least 1"),
    ],
)
def test_mistaken_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(**settings)
