"""The detector that comes with gpt2lab: small, the embedded model's, and good on what it never saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpt2lab.apps.detect.detector import DEFAULT, Detector, load_detector
from gpt2lab.apps.detect.pairs import read_pairs
from gpt2lab.apps.detect.reading import Reader
from gpt2lab.apps.detect.zero_shot import METHODS
from gpt2lab.lm.model import LanguageModel
from gpt2lab.metrics.ranking import auroc

HELD_OUT = ("writing_gpt-3.5-turbo", "writing_gpt-4")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(LanguageModel.load("tiny", threads=1, precision="bf16"), name="tiny")


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


def test_it_is_small_and_the_embedded_models(detector: Detector, reader: Reader) -> None:
    assert DEFAULT.stat().st_size < 1_000_000
    assert detector.fits(reader), "the embedded model has changed: train the detector again (docs/detection.md)"
    assert not detector.layout
    assert "tiny" in detector.trained["generators"]
    assert set(detector.humans[0].quantiles) == set(METHODS)


def test_it_knows_the_embedded_models_own_text(detector: Detector, reader: Reader) -> None:
    options = {"temperature": 0.7, "top_k": 40, "repetition_penalty": 1.0}
    calls = []
    for prompt in ("The government said on Monday that", "It was a dark night, and", "The river flows through"):
        (made,) = reader.lm.generate(prompt, max_new_tokens=250, seed=1, **options)
        calls.append(detector.judge(reader.read(prompt + made.text)).call)
    assert calls.count("machine") >= 2
    assert "human" not in calls


def test_it_tells_apart_what_it_never_saw(detector: Detector, reader: Reader, shared_data: Path) -> None:
    path = shared_data / "detect" / "pairs.jsonl.xz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    pairs = [pair for pair in read_pairs([path]) if pair.set in HELD_OUT][::6]
    assert not {pair.corpus for pair in pairs} & set(detector.trained["corpora"])
    human, machine = (
        [
            detector.probability(float(detector.scores(row)[0]), reading.words)
            for pair in pairs
            for reading in [reader.read(getattr(pair, half))]
            for row in [_row(reading)]
        ]
        for half in ("human", "machine")
    )
    assert auroc(machine, human) > 0.6


def _row(reading):
    from gpt2lab.apps.detect.features import features

    return features(reading)[None]
