"""The benchmark of pairs has both sides write the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import seq2seq
from gpt2lab.apps.seq2seq.codec import with_tokens
from gpt2lab.checkpoint import load, save_hf
from gpt2lab.checkpoint.extend import with_tokenizer


def test_both_sides_write_the_same(random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    base = load(random_model)
    assert base.tokenizer is not None
    known = with_tokens(base.tokenizer, delimiter="<|to|>", end="<|endoftext|>")
    made = with_tokenizer(base, known)
    folder = save_hf(tmp_path / "model", made.config, made.tensors, known, {"max_new_tokens": 12})
    sources = ["the old sailor", "a grey cat walked", "my sister"]
    monkeypatch.setattr(seq2seq, "ROUNDS", 1)
    sides = {"ours": seq2seq.ours(folder, 3, 1, "fp32")}
    sides |= {f"theirs {batch}": seq2seq.theirs(folder, 3, 1, batch) for batch in (1, 3)}
    found, written = seq2seq.rates(sides, sources)
    assert min(found.values()) > 0
    assert written["ours"] == written["theirs 1"] == written["theirs 3"]
    assert all(written["ours"])
