"""Folders with a head: whole or a sentence, and what the head says by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.checkpoint import load, load_hf
from gpt2lab.checkpoint.heads import CLASSES, Head, holds_head, load_with_head, save_with_head
from gpt2lab.checkpoint.hf import HEADS
from gpt2lab.errors import CheckpointError


@pytest.fixture
def folder(random_model: Path, tmp_path: Path) -> Path:
    base = load_hf(random_model)
    head = Head("tags", np.ones((2, base.config.n_embd), np.float32), np.asarray([0.5, 1], np.float32), ("X", "Y"))
    return save_with_head(tmp_path / "m", base.config, base.tensors, head, base.tokenizer)


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_it_comes_back(folder: Path, random_model: Path) -> None:
    base, head = load_with_head(folder)
    before = load_hf(random_model)
    assert all(np.array_equal(base.tensors[name], before.tensors[name]) for name in before.tensors)
    assert base.tokenizer is not None
    assert (head.kind, head.labels, head.weight.shape) == ("tags", ("X", "Y"), (2, base.config.n_embd))
    np.testing.assert_array_equal(head.logits(np.ones((3, 24), np.float32)), [[24.5, 25]] * 3)
    assert holds_head(folder)
    assert not holds_head(random_model)
    assert not holds_head(folder.parent)


def test_a_folder_without_a_head_is_a_sentence(random_model: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"holds no model with a head: its config\.json names GPT2LMHeadModel, not"
    ):
        load_with_head(random_model)


def test_where_text_is_to_be_written_it_is_a_sentence(folder: Path) -> None:
    assert {names.weight for names in CLASSES.values()} == set(HEADS)
    (run := folder.parent / "run").mkdir()
    folder.rename(run / "model")
    for given in (run, run / "model", str(run)):
        with pytest.raises(
            CheckpointError,
            match=r"holds a model with a head \('classifier.weight'\), .* predict FILE --model .*run/model, or train",
        ):
            load(given)


def test_what_does_not_fit_is_a_sentence(folder: Path) -> None:
    change(folder, id2label={"0": "X", "1": "Y", "2": "Z"})
    with pytest.raises(CheckpointError, match=r"has a head of shape \(2, 24\); its configuration wants \(3, 24\)"):
        load_with_head(folder)
    change(folder, id2label={"x": "X"})
    with pytest.raises(CheckpointError, match="damaged id2label"):
        load_with_head(folder)
    change(folder, architectures=["GPT2ForQuestionAnswering"])
    with pytest.raises(CheckpointError, match=r"has no tensor 'qa_outputs\.weight', which a GPT2ForQuestionAnswering"):
        load_with_head(folder)


def test_a_head_has_a_bias_where_its_class_has_one() -> None:
    with pytest.raises(CheckpointError, match="GPT2ForSequenceClassification has no bias"):
        Head("classes", np.ones((2, 3), np.float32), np.ones(2, np.float32))
    with pytest.raises(CheckpointError, match="GPT2ForTokenClassification has a bias"):
        Head("tags", np.ones((2, 3), np.float32), None)
