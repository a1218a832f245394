"""The examples run as they stand, say what they promise, and stay short."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))

SAYS = {
    "features": r"( 1\.00( +-?\d\.\d\d){2}| *-?\d\.\d\d  1\.00 +-?\d\.\d\d|( *-?\d\.\d\d){2}  1\.00) \S+",
    "detect": r"probability \S.* that a machine wrote it\n  Fast-DetectGPT",
    "generate": r"--- sample 1, seed 1, ended by (length|eos)\nOnce upon a time",
    "many_at_once": r"\[stop\] Far away['\"].+\n(.*\n)*\d+ tokens\n",
    "next_tokens": r"\d+ +\d+\.\d% +#* +['\"]She opened the \w+",
    "score": r"perplexity \d+\.\d per token, \d\.\d\d bits per byte",
    "stream": r"^The old man looked at the sea",
    "train_tiny": r"sentences it never saw: 0\.[2-4]\d bits per byte after 100 steps\nthe king \w+ .+\.\n",
}
"""What each example prints, among other things; `train_tiny` has learnt its sentences."""


def run(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error::UserWarning", str(path)],
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES} == set(SAYS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    if path.stem.startswith("train") and importlib.util.find_spec("torch") is None:
        pytest.skip("training needs torch: pip install 'gpt2lab[train]'")
    printed = run(path)
    assert re.search(SAYS[path.stem], printed), printed


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 50
    assert text.startswith('"""')


def test_the_same_seed_gives_the_same_text_again() -> None:
    (path,) = (p for p in EXAMPLES if p.stem == "generate")
    assert run(path) == run(path)


def test_the_better_sentence_has_the_lower_perplexity() -> None:
    (path,) = (p for p in EXAMPLES if p.stem == "score")
    first, second = map(float, re.findall(r"perplexity (\d+\.\d) per token", run(path)))
    assert first < second
