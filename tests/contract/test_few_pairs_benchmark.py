"""The benchmark of few pairs: what is drawn, runs that leave files and are not done again, and what the table says."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sacrebleu", reason="BLEU is sacrebleu's")
pytest.importorskip("rouge_score", reason="ROUGE is rouge-score's")

from benchmarks import few_pairs
from benchmarks.paired import RECIPES, WEIGHTS
from gpt2lab.apps.seq2seq.codec import with_tokens
from gpt2lab.apps.seq2seq.pairs import Pair
from gpt2lab.apps.seq2seq.write import PairModel
from gpt2lab.checkpoint import load, save_hf
from gpt2lab.checkpoint.extend import with_tokenizer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "translate" / "multi30k").mkdir(parents=True)
    for split, count in (("train", 400), ("val", 6)):
        for side, word in (("en", "dog"), ("de", "Hund")):
            lines = "".join(f"{split} {word} {i}\n" for i in range(count))
            (folder / "translate" / "multi30k" / f"{split}.{side}.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "news").mkdir()
    rows = "".join(f'"1","It rains {i}","It rained  on the\tharbour {i}, and ""so on"""\n' for i in range(240))
    (folder / "news" / "ag_news_test.csv").write_text(rows, encoding="utf-8")
    return folder


def test_a_seed_draws_one_pair_of_a_hundred(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_pairs, "HELD_OUT", 40)
    captions, headlines = (few_pairs.CASES[name] for name in ("translate-few", "headlines-few"))
    learnt, validation, test = few_pairs.drawn(captions, data, 3)
    assert len(learnt) == 4 and len(set(learnt)) == 4
    assert all(pair.target == pair.source.replace("dog", "Hund") for pair in learnt)
    assert [pair.source for pair in validation] == ["val dog 0", "val dog 2", "val dog 4"]
    assert [pair.source for pair in test] == ["val dog 1", "val dog 3", "val dog 5"]
    assert few_pairs.drawn(captions, data, 3)[0] == learnt != few_pairs.drawn(captions, data, 4)[0]
    learnt, validation, test = few_pairs.drawn(headlines, data, 0)
    assert (len(learnt), len(validation), len(test)) == (2, 20, 20)
    assert not {*learnt} & {*validation, *test} and not {*validation} & {*test}
    assert validation[0] == Pair('It rained on the harbour 0, and "so on"', "It rains 0")


def test_the_loss_is_that_of_the_targets(random_model: Path, tmp_path: Path) -> None:
    base = load(random_model)
    assert base.tokenizer is not None
    made = with_tokenizer(base, with_tokens(base.tokenizer, delimiter="<|to|>", end="<|endoftext|>"))
    folder = save_hf(tmp_path / "model", made.config, made.tensors, made.tokenizer, {"max_new_tokens": 12})
    model = PairModel.load(folder, threads=1)
    pairs = [Pair("the old sailor", "der alte Matrose"), Pair("a cat", "Katze, größer")]
    found = few_pairs.judged(model, pairs, few_pairs.CASES["translate-few"])
    nats, tokens = 0.0, 0
    for row in model.codec.rows([p.source for p in pairs], [p.target for p in pairs]):
        logprobs = model.lm.score(token_ids=row.ids.tolist(), bos=False).logprobs[row.delimiter + 1 :]
        nats, tokens = nats - float(np.sum(logprobs, dtype=np.float64)), tokens + len(logprobs)
    assert found["nats_per_token"] == pytest.approx(nats / tokens, rel=1e-5)
    octets = len("der alte MatroseKatze, größer".encode())
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / octets, rel=1e-5)
    assert {"bleu", "chrf"} < set(found)


def test_a_run_is_kept_and_not_done_again(
    random_model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(few_pairs, "HELD_OUT", 8)
    arguments = [
        "--data", str(data), "--out", str(tmp_path), "--seeds", "1", "--set", f"task.model={random_model}",
        "--set", "task.target_tokens=24", "--set", "train.steps=2", "--set", "train.validate_every=2",
        "--set", "train.threads=1", "--set", "task.beams=1",
    ]  # fmt: skip
    few_pairs.main(arguments)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f"{case}-{weights}-0.json" for case in sorted(few_pairs.CASES) for weights in WEIGHTS]
    results = [json.loads((tmp_path / name).read_text("utf-8")) for name in kept]
    assert [result["report"]["pairs"] for result in results] == [[2, 4, 4]] * 2 + [[4, 3, 3]] * 2
    assert {(result["report"]["steps"], result["seed"]) for result in results} == {(2, 0)}
    ours, theirs = (result["report"]["bits_per_byte"] for result in results[:2])
    assert ours != theirs, "both sides began with the same weights"
    before = [(tmp_path / name).stat().st_mtime_ns for name in kept]
    few_pairs.main(arguments)
    assert [(tmp_path / name).stat().st_mtime_ns for name in kept] == before
    assert "| translate-few | bits a byte of the target | " in capsys.readouterr().out


def test_the_table() -> None:
    def result(weights: str, seed: int, **report: float) -> dict[str, Any]:
        return {"recipe": "headlines-few", "weights": weights, "seed": seed, "rate": 0.001, "report": report}

    found = [
        result("pretrained", 0, bits_per_byte=2.0, rouge1=8.0, rougeLsum=6.0),
        result("pretrained", 1, bits_per_byte=2.5, rouge1=9.0, rougeLsum=5.0),
        result("pretrained", 2, bits_per_byte=1.0, rouge1=1.0, rougeLsum=1.0),
        result("random", 0, bits_per_byte=3.0, rouge1=7.0, rougeLsum=7.0),
        result("random", 1, bits_per_byte=2.0, rouge1=7.0, rougeLsum=7.0),
    ]
    assert few_pairs.table(found).splitlines()[2:] == [
        "| headlines-few, rate 0.001 | bits a byte of the target | 2.250 ± 0.354 | 2.500 ± 0.707 | -0.250 | 1 of 2 |",
        "| headlines-few, rate 0.001 | ROUGE-1 | 8.500 ± 0.707 | 7.000 ± 0.000 | +1.500 | 2 of 2 |",
        "| headlines-few, rate 0.001 | ROUGE-L | 5.500 ± 0.707 | 7.000 ± 0.000 | -1.500 | 0 of 2 |",
    ]


def test_every_case_has_its_recipe() -> None:
    assert all((RECIPES / f"{name}.toml").is_file() for name in few_pairs.CASES)
