"""GLTR's payload: tokens and structure of its own server's answers, numbers of the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpt2lab.apps.detect.gltr import bucket, payload
from gpt2lab.engine.native import NativeBackend
from gpt2lab.errors import RequestError
from gpt2lab.lm.model import LanguageModel
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer
from random_gpt2 import weights_of

NAMES = ("gltr_woodchuck", "gltr_paper_gan", "gltr_unicorn", "gltr_gpt2_small_top5_uncond")


@pytest.fixture(scope="module")
def small_gpt2(shared_data: Path) -> LanguageModel:
    """A random model of one narrow layer with GPT-2's vocabulary."""
    folder = shared_data / "gpt2_bpe"
    if not folder.is_dir():
        pytest.skip("GPT-2's vocabulary is not here")
    tokenizer = Tokenizer.from_folder(folder)
    config = GPT2Config(vocab_size=50257, n_positions=1024, n_embd=8, n_layer=1, n_head=1)
    return LanguageModel(NativeBackend(config, weights_of(config), threads=1), tokenizer, source="random")


@pytest.mark.parametrize("name", NAMES)
def test_the_payload_has_the_references_tokens_and_structure(
    name: str, small_gpt2: LanguageModel, shared_data: Path
) -> None:
    reference = json.loads((shared_data / "reference" / f"{name}.json").read_text(encoding="utf-8"))
    mine = payload(small_gpt2, reference["request"]["text"], project=reference["request"]["project"], top=20)
    assert mine["request"] == reference["request"]
    assert sorted(mine["result"]) == sorted(reference["result"])
    assert mine["result"]["bpe_strings"] == reference["result"]["bpe_strings"]
    assert len(mine["result"]["real_topk"]) == len(reference["result"]["real_topk"])
    spelt = set(small_gpt2.tokenizer.vocab) if small_gpt2.tokenizer else set()
    for ours, theirs in zip(mine["result"]["pred_topk"], reference["result"]["pred_topk"], strict=True):
        assert [[type(v) for v in pair] for pair in ours] == [[type(v) for v in pair] for pair in theirs]
        assert {token for token, _ in theirs} <= spelt
    assert json.loads(json.dumps(mine)) == mine


def test_the_numbers_are_the_models(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    assert lm.tokenizer is not None
    text = "the old sailor  walked\nslowly"
    found = payload(lm, text, top=5)["result"]
    ids = lm.tokenizer.encode(text)
    before = np.asarray([lm.bos_id(), *ids[:-1]], np.int32)
    logits = lm.backend.forward([lm.backend.new_cache()], [before], all_positions=True).astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    for i, token in enumerate(ids):
        order = np.argsort(-logits[i], kind="stable")
        assert found["real_topk"][i][0] == int(np.flatnonzero(order == token)[0])
        assert found["real_topk"][i][1] == pytest.approx(p[i, token], abs=2e-5)
        assert [v for _, v in found["pred_topk"][i]] == pytest.approx(p[i, order[:5]].tolist(), abs=2e-5)
    assert found["bpe_strings"][0] == "<|endoftext|>"


def test_a_text_longer_than_the_window_has_every_token(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    found = payload(lm, "a grey cat dreamt all night. " * 30, top=1)["result"]
    assert len(found["real_topk"]) == len(found["bpe_strings"]) - 1 > lm.config.n_positions


def test_ranks_fall_into_buckets() -> None:
    assert [bucket(r) for r in (0, 9, 10, 99, 100, 999, 1000)] == [0, 0, 1, 1, 2, 2, 3]


def test_nothing_to_analyse_is_one_sentence(random_model: Path) -> None:
    lm = LanguageModel.load(random_model, threads=1)
    with pytest.raises(RequestError, match="There is no text to analyse"):
        payload(lm, "")
    with pytest.raises(RequestError, match="top = 0 must be at least 1"):
        payload(lm, "a", top=0)
