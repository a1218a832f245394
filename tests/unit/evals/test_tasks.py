"""Every task on a small file of its format: figures that follow from the model's own scores, and the mistakes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab import LanguageModel
from gpt2lab.errors import ConfigError, DataError
from gpt2lab.evals import lambada
from gpt2lab.evals.lambada import parted
from gpt2lab.evals.perplexity import TextSettings
from gpt2lab.evals.place import Place
from gpt2lab.evals.registry import PRESETS, TASKS, load_task, presets_of
from gpt2lab.evals.requests import LogLikelihood
from gpt2lab.evals.results import Result
from gpt2lab.evals.run import evaluate
from gpt2lab.evals.styles import CBT, WIKITEXT
from small_corpora import CHOICES, SENTENCES, WIKI


def run(lm: LanguageModel, folder: Path, name: str, preset: str | None = None, **settings: Any) -> Result:
    task = load_task(name, preset=preset, place=Place(folder, official=False), settings=settings)
    return evaluate(lm, [task])[0]


def nats(lm: LanguageModel, text: str, **options: Any) -> float:
    return -lm.score(text, **options).log_likelihood


ELSEWHERE = ("hellaswag", "storycloze", "coqa", "cnndm", "wmt14-en-fr", "wmt14-fr-en", "nq", "webqs")
AVAILABLE = [name for name in TASKS if name not in ELSEWHERE]  # the others have tests of their own


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in AVAILABLE for preset in presets_of(name)])
def test_every_task_runs_with_every_preset(lm: LanguageModel, corpora_folder: Path, name: str, preset: str) -> None:
    result = run(lm, corpora_folder, name, preset)
    assert preset in PRESETS
    assert (result.task, result.preset) == (name, preset)
    assert math.isfinite(result.value) and result.main in result.figures
    assert result.data["official"] in (False, None)
    assert len(result.data["sha256"]) == 64 and result.model["fingerprint"] == lm.backend.fingerprint()
    plain = result.to_dict()
    assert plain["settings"] == dataclasses.asdict(load_task(name, preset=preset).settings)
    assert run(lm, corpora_folder, name, preset) == result  # bit for bit


def test_running_text_is_scored_after_the_end_mark_and_counted_in_words(
    lm: LanguageModel, corpora_folder: Path
) -> None:
    result = run(lm, corpora_folder, "wikitext2", stride=20)
    text = "".join(f"{WIKITEXT.detokenize(line)}\n" for line in WIKI)
    words = sum(len(line.split()) + 1 for line in WIKI)
    expected = nats(lm, text, stride=20)
    assert result.units == {"words": words, "bytes": len("".join(f"{line}\n" for line in WIKI)),
                            "characters": len("".join(f"{line}\n" for line in WIKI))}  # fmt: skip
    assert result.log_likelihood == pytest.approx(-expected, rel=1e-12)
    assert lm.tokenizer is not None
    assert result.tokens == len(lm.tokenizer.encode(text))
    assert result.figures["word_perplexity"].value == pytest.approx(math.exp(expected / words))
    assert result.figures["token_perplexity"].value == pytest.approx(math.exp(expected / result.tokens))


def test_megatron_counts_words_by_single_blanks_less_one(lm: LanguageModel, corpora_folder: Path) -> None:
    raw = (corpora_folder / "ptb" / "ptb.test.txt").read_text()
    result = run(lm, corpora_folder, "ptb", "megatron")
    assert result.units["words"] == len(raw.strip().split(" ")) - 1
    assert lm.tokenizer is not None
    assert (
        result.tokens
        == len(lm.tokenizer.encode(" the grey cat didn't wait for $ N\nmy sister's <unk> wrote a letter\n")) - 1
    )


def test_sentences_stand_for_themselves(lm: LanguageModel, corpora_folder: Path) -> None:
    result = run(lm, corpora_folder, "1bw")
    texts = ['"Well," she said, "that is it."', "A small model had never seen the harbour."]
    assert (result.documents, result.rows) == (2, 2)
    assert result.log_likelihood == pytest.approx(-sum(nats(lm, text) for text in texts))
    assert result.units["words"] == (13 + 1) + (9 + 1)


def test_bytes_and_characters_are_those_of_the_file(lm: LanguageModel, corpora_folder: Path) -> None:
    data = (corpora_folder / "enwik8" / "enwik8").read_bytes()
    result = run(lm, corpora_folder, "enwik8")
    assert result.units == {"bytes": len(data), "characters": len(data.decode("utf-8", "surrogateescape"))}
    assert lm.tokenizer is not None
    ids = lm.tokenizer.encode_bytes(data)
    expected = nats(lm, None, token_ids=ids) / math.log(2) / len(data)  # type: ignore[arg-type]
    assert result.value == pytest.approx(expected)
    assert "word_perplexity" not in result.figures


def test_lambadas_four_ways(lm: LanguageModel, corpora_folder: Path) -> None:
    result = run(lm, corpora_folder, "lambada")
    figures = {name: figure.value for name, figure in result.figures.items()}
    documents, _ = load_task("lambada", place=Place(corpora_folder, official=False)).load()
    total, right = 0.0, dict.fromkeys(("word", "last_token"), 0)
    for text in documents:
        context, word = parted(text, "openai")
        assert lm.tokenizer is not None
        whole = lm.score(context + word, bos=False)
        n = len(whole.token_ids) - len(lm.tokenizer.encode(context))
        total -= float(whole.logprobs[-n:].sum(dtype=np.float64))
        right["word"] += bool((whole.ranks[-n:] == 0).all())
        right["last_token"] += bool(whole.ranks[-1] == 0)
    assert figures["perplexity"] == pytest.approx(math.exp(total / len(documents)))
    assert figures["accuracy_word"] == 100 * right["word"] / len(documents)
    assert figures["accuracy_last_token"] == 100 * right["last_token"] / len(documents)
    assert set(figures) == set(lambada.FIGURES)
    assert "accuracy_stop" not in run(lm, corpora_folder, "lambada", "lm-eval").figures


def test_lambadas_passages_are_parted_before_the_last_word() -> None:
    assert parted("“Yes,” he said to Mary", "openai") == ('\n"Yes," he said to', " Mary")
    assert parted("He said.\n\nMary", "openai") == ("\nHe said.\n\n", "Mary")
    assert parted("He said.\n\nMary", "as it is") == ("He", " said.\n\nMary")
    assert parted("`` yes , '' he did n't say mary", "text") == ('\n"yes," he didn\'t say', " mary")


def test_cbt_asks_for_the_choice_and_the_rest(lm: LanguageModel, corpora_folder: Path) -> None:
    task = load_task("cbt-cn", place=Place(corpora_folder, official=False))
    documents, _ = task.load()
    before = " ".join(CBT.detokenize(sentence) for sentence in SENTENCES)
    assert before.startswith('"The grey cat had never seen an open door," said number 0.')
    first = task.requests(documents[0])
    assert first[0] == LogLikelihood(f"{before} He couldn't open the", " harbour.", bos=True)
    second = task.requests(documents[1])
    assert second[2] == LogLikelihood(before, " cat of the harbour, she said.", bos=True)
    (row,) = task.rows(documents[0], _answers([0.0, 1.0, *[-1.0] * 8]))
    assert row["correct"] == 1.0
    assert documents[0].choices == CHOICES


def _answers(logprobs: list[float]) -> list[Any]:
    from gpt2lab.evals.requests import Likely

    return [Likely(p, False, (1,), (p,), (0,), (0,)) for p in logprobs]


def test_winograd_asks_for_the_rest_and_for_everything(corpora_folder: Path) -> None:
    task = load_task("wsc273", preset="paper", place=Place(corpora_folder, official=False))
    (document,), _ = task.load()
    asked = [(r.context, r.continuation) for r in task.requests(document) if isinstance(r, LogLikelihood)]
    start = "The cat saw the door because"
    assert asked == [
        (f"{start} the cat", " was open."), (f"{start} the door", " was open."),
        ("", f"{start} the cat was open."), ("", f"{start} the door was open."),
    ]  # fmt: skip
    (row,) = task.rows(document, _answers([-2.0, -1.0, -1.0, -2.0]))
    assert row == {"questions": 1.0, "partial": 1.0, "full": 0.0}


def test_hellaswag_in_both_conventions(tmp_path: Path) -> None:
    line = (
        '{"ctx_a": "A cat [title] sits.", "ctx_b": "the cat", "ctx": "A cat sits. the cat", '
        '"activity_label": "Sitting", '
        '"endings": ["runs [x] away.", "sleeps."], "label": 1}\n'
    )
    (tmp_path / "hellaswag_val.jsonl").write_text(line)
    place = Place(tmp_path, official=False)
    task = load_task("hellaswag", preset="llm.c", place=place)
    (document,), _ = task.load()
    assert [r.continuation for r in task.requests(document)] == [" runs [x] away.", " sleeps."]  # type: ignore[union-attr]
    (row,) = task.rows(document, _answers([-1.0, -2.0]))
    assert row == {"questions": 1.0, "accuracy": 0.0, "accuracy_per_token": 0.0}
    task = load_task("hellaswag", preset="lm-eval", place=place)
    (document,), _ = task.load()
    assert document.asked["accuracy"][0] == ("Sitting: A cat.  sits. The cat".replace(".  ", ". "), " runs away.")


def test_limits_and_settings(lm: LanguageModel, corpora_folder: Path) -> None:
    place = Place(corpora_folder, official=False)
    (result,) = evaluate(lm, [load_task("lambada", place=place)], limit=2)
    assert (result.documents, result.limit) == (2, 2)
    (short,) = evaluate(lm, [load_task("wikitext2", place=place)], limit=4)
    assert short.units["words"] == sum(len(line.split()) + 1 for line in WIKI[:4])
    stop = corpora_folder / "stop.txt"
    stop.write_text("harbour\ncat\n")
    assert run(lm, corpora_folder, "lambada", stop_words=str(stop)).settings["stop_words"] == str(stop)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_task("lambda"), "Unknown task 'lambda'. Did you mean 'lambada'\\? Tasks: lambada"),
        (lambda: load_task("ptb", preset="papr"), "Unknown preset 'papr'. Did you mean 'paper'\\? Presets: paper"),
        (lambda: load_task("ptb", preset="hf"), "ptb has no preset 'hf'; it has paper, megatron"),
        (lambda: load_task("ptb", settings={"strid": 3}), "Unknown key 'ptb.strid'. Did you mean 'ptb.stride'"),
        (lambda: load_task("ptb", settings={"stride": 0}), "stride = 0 must be at least 1"),
        (lambda: load_task("lambada", settings={"main": "x"}), "main = 'x' is not one of perplexity"),
        (lambda: load_task("lambada", settings={"width": -1}), "width = -1 must not be negative"),
        (lambda: load_task("lambada", settings={"width": 0}), "main = 'accuracy_stop' needs a search"),
        (lambda: load_task("lambada", settings={"stop_words": "no"}), "stop_words = 'no' is neither nltk nor a file"),
        (lambda: TextSettings(corpus="x"), "corpus = 'x' is not one of wikitext2"),
    ],
)  # fmt: skip
def test_mistakes_in_settings(call: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        call()


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        (
            "wikitext2",
            "wiki.test.tokens",
            " = A = \n",
            "holds 1 lines where the official file has 4,358: it is damaged or",
        ),
        ("wikitext2", "wiki.test.tokens", " = A = \n b", "ends in the middle of a line; it is damaged"),
        (
            "ptb",
            "ptb.test.txt",
            b" caf\xe9 \n",
            "is not UTF-8 text: invalid continuation byte at byte 4; it is damaged",
        ),
        ("text8", "text8", "abc", "holds 3 bytes where the official file has 100,000,000"),
        ("text8", "text8.zip", b"PK\x05\x06" + bytes(18), "is not a whole zip archive"),
        ("lambada", "lambada_test.jsonl", '{"text": "a b"}\n', "holds 1 passages where the official file has 5,153"),
        ("lambada", "lambada_test.jsonl", "{}\n", 'is damaged: line 1 is not {"text": …}'),
        ("cbt-cn", "cbtest_CN_valid_2000ex.txt", "1 a\n", "question 1 is not twenty sentences, one with XXXXX"),
        ("wsc273", "wsc273.txt", "a\nb\n", "schema 1 is not a sentence with \\[MASK\\], two options, one right"),
        ("hellaswag", "hellaswag_val.jsonl", "{}\n", "line 1 is no question of HellaSwag"),
        ("storycloze", "test.csv", "a,b\n1,2\n", "story 1 has no four sentences, two endings and a right one"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(
    tmp_path: Path, name: str, file: str, content: str | bytes, words: str
) -> None:
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words):
        load_task(name, place=Place(tmp_path)).load()


def test_one_wrong_byte_count_in_a_real_file_is_noticed(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "eval" / "ptb" / "ptb.test.txt").read_bytes()
    (tmp_path / "ptb.test.txt").write_bytes(text.replace(b" black monday", b" blackmonday", 1))
    with pytest.raises(
        DataError, match="holds 82,429 words with one end mark a line where the official file has 82,430"
    ):
        load_task("ptb", place=Place(tmp_path)).load()
