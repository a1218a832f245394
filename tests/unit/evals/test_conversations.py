"""CoQA: the dialogue before a question, answers of several people, and the official file's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals.conversations import Conversation, Coqa
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import load_task
from gpt2lab.evals.requests import Written
from gpt2lab.evals.run import evaluate

STORY = "A white cat lived in a barn."
RECORD = {
    "id": "1",
    "story": STORY,
    "questions": [{"input_text": "What colour?", "turn_id": 1}, {"input_text": "Where?", "turn_id": 2}],
    "answers": [{"input_text": "white", "turn_id": 1}, {"input_text": "in a barn", "turn_id": 2}],
    "additional_answers": {
        "0": [{"input_text": "White", "turn_id": 1}, {"input_text": "a barn", "turn_id": 2}],
        "1": [{"input_text": "it was white", "turn_id": 1}, {"input_text": "barn", "turn_id": 2}],
    },
}
CONVERSATION = Conversation(
    STORY, ("What colour?", "Where?"), (("white", "White", "it was white"), ("in a barn", "a barn", "barn"))
)


def task(preset: str | None = None, folder: Path | None = None, **settings: object) -> Coqa:
    found = load_task("coqa", preset=preset, place=Place(folder, offline=True, official=False), settings=settings)
    assert isinstance(found, Coqa)
    return found


def written(folder: Path, value: Any) -> Path:
    (folder / "coqa-dev-v1.0.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def test_the_official_form_is_read(tmp_path: Path) -> None:
    found, about = task(folder=written(tmp_path, {"version": "1.0", "data": [RECORD, RECORD]})).load(1)
    assert found == [CONVERSATION]
    assert about.counts == {"conversations": 2, "questions": 4}
    assert about.official is False


def test_every_question_comes_with_the_dialogue_before_it() -> None:
    first, second = task().requests(CONVERSATION)
    assert first.prompt == f"{STORY}\n\nQ: What colour?\nA:"
    assert second.prompt == f"{STORY}\n\nQ: What colour?\nA: white\nQ: Where?\nA:"
    assert first.until == ("\n",)


def test_lm_evals_prompt_is_the_last_turn() -> None:
    (asked,) = task("lm-eval").requests(CONVERSATION)
    assert asked.prompt == f"{STORY}\n\nQ: What colour?\n\nA: white\n\nQ: Where?\n\nA:"
    assert (asked.until, asked.max_new_tokens) == (("\nQ:",), 256)


def test_an_answer_is_held_against_all_people_but_one() -> None:
    rows = task().rows(CONVERSATION, [Written(" White.\nQ: and", (), ()), Written(" on the roof", (), ())])
    # white: against {White, it was white} 1, {white, it was white} 1, {white, White} 1
    assert rows[0] == {"questions": 1, "f1": 1, "exact_match": 1}
    assert rows[1] == {"questions": 1, "f1": 0, "exact_match": 0}


def test_lm_eval_counts_answers_once_that_differ_in_case_alone() -> None:
    (row,) = task("lm-eval", turns="last").rows(
        Conversation(STORY, ("What colour?",), (("white", "White", "it was white"),)), [Written("white", (), ())]
    )
    # {white} and {it was white} remain: F1 2/3... against the one, 1 against the other
    assert row["f1"] == pytest.approx((2 * 1 / (1 + 3) + 1) / 2)
    assert row["exact_match"] == 0.5


def test_the_whole_way(tmp_path: Path, random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    (result,) = evaluate(lm, [task(folder=written(tmp_path, {"data": [RECORD] * 3}), max_new_tokens=4)])
    assert (result.documents, result.rows) == (3, 6)
    assert set(result.figures) == {"f1", "exact_match"}


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"data": [{"story": "x"}]},
        {"data": [{**RECORD, "answers": RECORD["answers"][:1]}]},
        {"data": [{**RECORD, "questions": [], "answers": [], "additional_answers": {}}]},
        {"data": [{**RECORD, "additional_answers": []}]},
        {"other": []},
    ],
)
def test_damaged_files(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DataError, match="is damaged: it does not hold conversations as CoQA's file does"):
        task(folder=written(tmp_path, value)).load()


def test_a_wrong_count_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    place = Place(tmp_path, offline=True)
    with pytest.raises(DataError, match=r"The data of coqa are not here: .* has none of coqa-dev-v1.0.json"):
        load_task("coqa", place=place).load()
    written(tmp_path, {"data": [RECORD]})
    with pytest.raises(DataError, match="holds 1 conversations where the official file has 500"):
        load_task("coqa", place=place).load()


def test_mistaken_settings() -> None:
    with pytest.raises(ConfigError, match="max_new_tokens = 0 must be at least 1"):
        task(max_new_tokens=0)
    with pytest.raises(ConfigError, match=r"coqa\.turns = 'some' is not one of 'all', 'last'"):
        task(turns="some")
