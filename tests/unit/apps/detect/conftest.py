"""Pairs that a detector can learn from, in seconds: human sentences, and the random model's own text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpt2lab.apps.detect.build import Sampling, build_pairs
from gpt2lab.apps.detect.pairs import Pair, read_pairs
from gpt2lab.lm.model import LanguageModel

HUMANS = [
    f"The {who} {did} the {what} for {n} days, and then he asked me why I had not come to see him before the winter."
    for n, (who, did, what) in enumerate(
        (who, did, what)
        for who in ("sailor", "teacher", "grey cat", "doctor")
        for did in ("watched", "painted", "followed")
        for what in ("harbour", "garden", "night train")
    )
]


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 pairs of two corpora: 36 sentences with nonsense of the embedded model at two settings."""
    lm = LanguageModel.load("tiny", threads=1)
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as f:
        for sampling, corpus in ((Sampling(), "one"), (Sampling(temperature=1.5, top_k=40), "two")):
            texts = [(f"{human} {human[::-1]}" if corpus == "two" else human * 2, corpus) for human in HUMANS]
            for pair in build_pairs(lm, texts, sampling=sampling, generator="tiny", prompt_tokens=3, length=60, seed=1):
                f.write(json.dumps(pair) + "\n")
    return path


@pytest.fixture(scope="session")
def pairs(pairs_file: Path) -> list[Pair]:
    """The same, read."""
    return read_pairs([pairs_file])
