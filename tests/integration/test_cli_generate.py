"""`gpt2lab generate` against the library: same texts, every way in and out, every mistake one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gpt2lab import LanguageModel


@pytest.fixture(scope="module")
def lm(random_model: Path) -> LanguageModel:
    return LanguageModel.load(random_model)


@pytest.fixture
def generate(command, random_model: Path):
    def run(*arguments: str | Path, **how):
        return command("generate", "--model", random_model, *arguments, **how)

    return run


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def header(number: int) -> str:
    return "=" * 40 + f" SAMPLE {number} " + "=" * 40 + "\n"


def test_one_sample_is_the_prompt_and_its_continuation(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate("the old", seed=1, max_new_tokens=9)
    assert generate("the old", "--seed", 1, "--length", 9) == (0, f"the old{sample.text}\n", "")
    assert generate("the old", "--seed", 1, "--length", 9, "--no-include-prefix").out == f"{sample.text}\n"


@pytest.mark.parametrize("batch", [(), ("--batch-size", "1"), ("--batch-size", "2"), ("--batch_size", "7")])
def test_samples_are_numbered_and_do_not_depend_on_the_batch(batch, generate, lm: LanguageModel) -> None:
    samples = lm.generate("a grey", seed=2, max_new_tokens=6, num_return_sequences=5)
    expected = "".join(header(i) + f"a grey{s.text}\n" for i, s in enumerate(samples, start=1))
    assert generate("a grey", "--seed", 2, "--length", 6, "-n", 5, *batch).out == expected


def test_many_samples_are_made_in_rounds(generate, lm: LanguageModel) -> None:
    samples = lm.generate("a", seed=2, max_new_tokens=2, num_return_sequences=19)
    made = rows(generate("a", "--seed", 2, "--length", 2, "-n", 19, "--batch-size", 2, "--jsonl").out)
    assert [r["sample"] for r in made] == list(range(19))
    assert [r["token_ids"] for r in made] == [s.token_ids for s in samples]


def test_many_prompts_keep_their_order(generate, lm: LanguageModel, tmp_path: Path) -> None:
    prompts = [f"{i} answers" * (i % 3 + 1) for i in range(11)]
    (tmp_path / "p.txt").write_text("\n".join(prompts))
    made = rows(
        generate("--prompts-file", tmp_path / "p.txt", "--seed", 4, "-l", 3, "-n", 2, "--batch-size", 1, "--jsonl").out
    )
    groups = lm.generate(prompts, seed=4, max_new_tokens=3, num_return_sequences=2)
    assert [(r["prompt"], r["text"]) for r in made] == [(s.prompt, s.text) for g in groups for s in g]


def test_from_nothing(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate(seed=5, max_new_tokens=64)
    assert generate("--seed", 5).out == f"{sample.text}\n"
    (row,) = rows(generate("--seed", 5, "--jsonl").out)
    assert (row["prompt"], row["text"], row["token_ids"]) == (None, sample.text, sample.token_ids)


def test_default_length_after_a_prompt_is_half_a_window(generate) -> None:
    for length in ((), ("--length", 0)):
        (row,) = rows(generate("a", "--seed", 5, "--jsonl", "--min-length", 30, *length).out)
        assert row["settings"]["max_new_tokens"] == 32
        assert 30 <= len(row["token_ids"]) <= 32


def test_stdin_is_the_prompt(generate) -> None:
    expected = generate("the\nold", "--seed", 1, "-l", 5).out
    assert generate("--seed", 1, "-l", 5, stdin=b"the\nold").out == expected
    assert generate("-", "--seed", 1, "-l", 5, stdin=b"the\nold").out == expected


def test_a_prompt_file(generate, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"the\r\nold")
    assert generate("--prompt-file", tmp_path / "p", "--seed", 1, "-l", 5).out.startswith("the\r\nold")


def test_jsonl_rows_reproduce_their_text(generate, lm: LanguageModel) -> None:
    made = rows(
        generate("my sister", "-n", 2, "-l", 8, "--temperature", 0.7, "--top-k", 20, "--top-p", 0.9, "--stop", "zz",
                 "--bad-word", "e", "--jsonl", "--precision", "int8").out
    )  # fmt: skip
    assert set(made[0]) == {
        *("prompt", "text", "token_ids", "finish_reason", "seed", "sample", "model", "settings"),
    }
    assert made[0]["settings"].items() >= {
        "max_new_tokens": 8, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "stop": ["zz"], "bad_words": ["e"],
        "precision": "int8", "device": "cpu", "window": "half",
    }.items()  # fmt: skip
    again = generate("my sister", "-n", 2, "-l", 8, "--temperature", 0.7, "--top-k", 20, "--top-p", 0.9, "--stop", "zz",
                     "--bad-word", "e", "--jsonl", "--precision", "int8", "--seed", made[0]["seed"])  # fmt: skip
    assert rows(again.out) == made


def test_the_seed_is_told_when_none_is_given(generate) -> None:
    first = generate("a", "-l", 5)
    seed = re.fullmatch(r"seed: (\d+)\n", first.err)
    assert seed
    assert generate("a", "-l", 5, "--seed", seed[1]) == (0, first.out, "")
    assert generate("a", "-l", 5, "--temperature", 0).err == ""


def test_temperature_zero_is_greedy(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate("the café", max_new_tokens=10, temperature=0.0)
    assert generate("the café", "-l", 10, "-t", 0).out == f"the café{sample.text}\n"


def test_prompt_lookup_changes_nothing(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate("a grey a grey a grey", temperature=0.0, max_new_tokens=30)
    looking = generate("a grey a grey a grey", "--temperature", 0, "--length", 30, "--prompt-lookup", 5, "--jsonl")
    (row,) = rows(looking.out)
    assert row["token_ids"] == sample.token_ids


def test_beams(generate, lm: LanguageModel) -> None:
    samples = lm.generate("the night", max_new_tokens=7, num_beams=4, num_return_sequences=3, length_penalty=0.5)
    out = generate("the night", "-l", 7, "--num-beams", 4, "-n", 3, "--length-penalty", 0.5).out
    assert out == "".join(header(i) + f"the night{s.text}\n" for i, s in enumerate(samples, start=1))


def test_beams_are_truncated_with_their_ids(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate("the night", max_new_tokens=12, num_beams=3)
    cut = sample.text[len(sample.text) // 2]
    (row,) = rows(generate("the night", "-l", 12, "--num-beams", 3, "--truncate", cut, "--jsonl").out)
    assert row["text"] == sample.text[: sample.text.index(cut)]
    assert row["token_ids"] == sample.token_ids[: len(row["token_ids"])]
    assert len(row["token_ids"]) < len(sample.token_ids)


@pytest.mark.parametrize("seed", range(8))
def test_truncate_cuts_as_gpt_2_simple_does(seed: int, generate, lm: LanguageModel) -> None:
    """Five texts to cut at for each of eight samples, with and without the prompt, against gpt-2-simple's regex."""
    prompt = "waited for"
    (sample,) = lm.generate(prompt, seed=seed, max_new_tokens=20, min_new_tokens=20)
    text = sample.text
    for cut in (text[0], text[5:7], text[-3:], "\n", "never to be found"):
        found = re.search(f"(.*?)(?:{re.escape(cut)})", text, re.DOTALL)
        expected = found[1] if found else text
        arguments = (prompt, "--seed", seed, "-l", 20, "--min-length", 20, "--truncate", cut)
        assert generate(*arguments).out == f"{prompt}{expected}\n"
        assert generate(*arguments, "--no-include-prefix").out == f"{expected}\n"


def test_truncate_does_not_look_at_the_prompt(generate) -> None:
    assert generate("a grey cat", "--seed", 1, "-l", 3, "--truncate", "grey").out.startswith("a grey cat")


def test_a_delimiter_stands_after_each_text_in_place_of_headers(generate, lm: LanguageModel) -> None:
    samples = lm.generate("a", seed=1, max_new_tokens=3, num_return_sequences=2)
    out = generate("a", "--seed", 1, "-l", 3, "-n", 2, "--sample-delim", "----").out
    assert out == "".join(f"a{s.text}\n----\n" for s in samples)


def test_output_file(generate, tmp_path: Path) -> None:
    shown = generate("the café", "--seed", 1, "-l", 6, "-n", 2).out
    target = tmp_path / "samples.txt"
    assert generate("the café", "--seed", 1, "-l", 6, "-n", 2, "-o", target) == (0, "", "")
    assert target.read_bytes() == shown.encode()
    mistyped = generate("a", "--seed", 1, "-o", tmp_path / "nwe" / "samples.txt")
    assert (mistyped.code, mistyped.err) == (2, f"gpt2lab: {tmp_path / 'nwe'} does not exist.\n")
    assert list(tmp_path.iterdir()) == [target]


def test_a_mistake_leaves_the_output_file_alone(generate, tmp_path: Path) -> None:
    target = tmp_path / "samples.txt"
    target.write_text("precious")
    assert generate("a", "--batch-size", 0, "--seed", 1, "-o", target).code == 2
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_files_in_a_folder(generate, lm: LanguageModel, tmp_path: Path) -> None:
    """Files are numbered, named by the seed, continue each other's samples, and replace nothing."""
    (tmp_path / "mine.txt").write_text("precious")
    samples = lm.generate("a", seed=9, max_new_tokens=3, num_return_sequences=4)
    for _ in range(2):
        made = generate("a", "--seed", 9, "-l", 3, "-n", 2, "--nfiles", 2, "--folder", tmp_path)
        files = [Path(line) for line in made.out.splitlines()]
        assert [re.sub(r"_\d{8}_\d{6}", "", f.stem)[: len("gpt2lab_9_1")] for f in files] == [
            "gpt2lab_9_1",
            "gpt2lab_9_2",
        ]
        for file, own in zip(files, (samples[:2], samples[2:]), strict=True):
            assert file.read_text() == "".join(header(i) + f"a{s.text}\n" for i, s in enumerate(own, start=1))
    assert len(list(tmp_path.glob("gpt2lab_*"))) == 4
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_streaming_writes_the_same_text(generate) -> None:
    arguments = ("the café", "--seed", 1, "-l", 20, "-n", 2)
    assert generate(*arguments, "--stream").out == generate(*arguments, "--no-stream").out


def test_until_the_end_token(generate) -> None:
    (row,) = rows(generate("a", "--seed", 3, "--until-end", "--min-length", 65, "--jsonl").out)
    assert row["finish_reason"] == "eos"
    assert len(row["token_ids"]) > 64
    short = generate("a", "--seed", 3, "--until-end", "--length", 2, "--min-length", 2)
    assert short.err == "note: 1 of the texts had not come to their end when they reached the bound of their length.\n"


def test_text_longer_than_the_window(generate, lm: LanguageModel) -> None:
    (sample,) = lm.generate("a", seed=1, max_new_tokens=200, window="recompute")
    assert generate("a", "--seed", 1, "-l", 200, "--window", "recompute").out == f"a{sample.text}\n"


def test_a_stdout_that_cannot_show_a_character(generate) -> None:
    plain = generate("the café ☃", "--seed", 1, "-l", 1, "--no-stream", encoding="cp1252")
    assert plain.code == 0
    assert plain.out.startswith("the café ?")
    (row,) = rows(generate("the café ☃", "--seed", 1, "-l", 1, "--jsonl", encoding="cp1252").out)
    assert row["prompt"] == "the café ☃"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([""], "The prompt is empty: the argument holds no text."),
        (["a", "-l", "-5"], "--length = -5 must be a whole number of at least 0."),
        (["a", "-n", "-1"], "--nsamples = -1 must be a whole number of at least 0; 0 never stops."),
        (["a", "-n", "0", "-o", "f"], "--nsamples 0 never stops, so it goes with no --output, --folder or --num-beams"),
        (["a", "--batch-size", "0"], "--batch-size = 0 must be a whole number of at least 1."),
        (["a", "-t", "-1"], "--temperature = -1.0 must be 0 (always the most likely token) or a positive number."),
        (["a", "-t", "nan"], "--temperature = nan must be 0 "),
        (["a", "--top-k", "-1"], "--top-k = -1 must be a whole number of at least 0."),
        (["a", "--top-p", "1.5"], "--top-p = 1.5 must be in (0, 1]; 1 keeps every token."),
        (["a", "--top-p-rule", "x"], "--top-p-rule = 'x' is not one of 'inclusive', 'openai'."),
        (["a", "--min-p", "2"], "--min-p = 2.0 must be in [0, 1]; 0 keeps every token."),
        (["a", "--seed", "-1"], "--seed = -1 must be a whole number of at least 0."),
        (["a", "--min-length", "9", "-l", "5"], "--min-length = 9 is more than --length = 5."),
        (["a", "--window", "full"], "--window = 'full' is not one of 'half', 'recompute', 'strict'."),
        (["a", "-l", "65", "--strict-window"], "Can't get samples longer than window size: 64"),
        (["a" + " a" * 40, "--strict-window"], "The prompt's "),
        (
            ["a", "--folder", "d", "-o", "f"],
            "Give --output for one file, or --folder and --nfiles for several, not both.",
        ),
        (["a", "--folder", "d", "--nfiles", "0"], "--nfiles = 0 must be a whole number of at least 1."),
        (["a", "--truncate", ""], "--truncate is empty; give at least one character."),
        (["a", "--stop", ""], "A stop string is empty; give at least one character."),
        (
            ["a", "--stream", "--jsonl"],
            "--stream shows text as it is made; it cannot be used with --jsonl, --output or --folder.",
        ),
        (["a", "--stream", "--num-beams", "2"], "--num-beams > 1 cannot be streamed"),
        (["a", "--num-beams", "2", "-n", "3"], ""),
        (["a", "--num-beams", "2", "--stop", "x"], "Stop strings cannot be used with --num-beams > 1"),
        (["a", "--precision", "int2"], "--precision = 'int2' is not one of auto, fp32, bf16, int8, int4."),
        (["a", "--threads", "0"], "--threads = 0 must be a whole number from 1 to 256."),
        (["a", "--prompt-file", "f"], "Give the prompt in one way"),
        (["--prompt-file", "/nowhere/f"], "/nowhere/f does not exist."),
        (["--prompt-file", "/"], "/ is a folder; a file is needed."),
        (["a", "-o", "/"], "/ is a folder; a file is needed."),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str, generate) -> None:
    code, out, err = generate("--seed", 1, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"gpt2lab: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("tinny", "Unknown model 'tinny'. Did you mean 'tiny'? A model is tiny, chorales, gpt2, "),
        ("/nowhere/model", "/nowhere/model does not exist."),
        ("", "The name of the model is empty."),
    ],
)
def test_a_model_that_is_not_there(model: str, sentence: str, command) -> None:
    code, out, err = command("generate", "a", "-m", model, "--offline")
    assert (code, out) == (2, "")
    assert err.startswith(f"gpt2lab: {sentence}")


def test_a_damaged_model(command, random_model: Path, tmp_path: Path) -> None:
    for file in random_model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1000 if file.suffix == ".safetensors" else None])
    code, out, err = command("generate", "a", "-m", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("gpt2lab: ")
    assert "model.safetensors" in err
    assert err.count("\n") == 1


def test_a_published_model_that_is_not_here_and_no_network(command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GPT2LAB_CACHE", str(tmp_path))
    code, _, err = command("generate", "a", "-m", "someone/no-such-model", "--offline")
    assert code == 2
    assert err == (
        "gpt2lab: 'someone/no-such-model' is not on this machine, and fetching it was not allowed (offline). "
        "Where there is a network: gpt2lab download someone/no-such-model\n"
    )


def test_models_dir_expands_variables(command, random_model: Path, monkeypatch) -> None:
    monkeypatch.setenv("MY_MODELS", str(random_model.parent))
    out = command("generate", "a", "-m", "random", "--models_dir", "$MY_MODELS", "--seed", 1, "-l", 4).out
    assert out == command("generate", "a", "-m", random_model, "--seed", 1, "-l", 4).out
