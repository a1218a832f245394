"""The façade: text in, text out, with the promises of its docstrings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2lab import LanguageModel, SamplingParams, pipeline, set_seed
from gpt2lab.checkpoint import save_hf
from gpt2lab.errors import CheckpointError, MissingExtraError, RequestError
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer, train_tokenizer
from random_gpt2 import native, weights_of

TEXT = (
    "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过了懒狗。 Once upon a time there was a naïve king. "
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(iter([TEXT * 4]), vocab_size=330)


@pytest.fixture(scope="module")
def config(tokenizer: Tokenizer) -> GPT2Config:
    end = tokenizer.eos_id
    return GPT2Config(
        vocab_size=tokenizer.vocab_size,
        n_positions=48,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=end,
        eos_token_id=end,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, config: GPT2Config, tokenizer: Tokenizer) -> Path:
    path = tmp_path_factory.mktemp("models") / "random"
    save_hf(path, config, weights_of(config), tokenizer)
    return path


@pytest.fixture(scope="module")
def lm(folder: Path) -> LanguageModel:
    return LanguageModel.load(folder)


@pytest.fixture
def wordless(config: GPT2Config) -> LanguageModel:
    return LanguageModel(native(config), None, source="a model without words")


def test_generate_returns_what_it_says(lm: LanguageModel) -> None:
    out = lm.generate("Once upon a time", max_new_tokens=20, temperature=0.8, top_k=40, seed=1, num_return_sequences=2)
    assert len(out) == 2
    for sample, generation in enumerate(out):
        assert generation.text == lm.tokenizer.decode(generation.token_ids)  # type: ignore[union-attr]
        assert (generation.seed, generation.sample, generation.prompt) == (1, sample, "Once upon a time")
        assert generation.prompt_token_ids == lm.tokenizer.encode("Once upon a time")  # type: ignore[union-attr]
        assert len(generation.logprobs) == len(generation.token_ids)
        assert generation.finish_reason in ("length", "eos")
    assert (
        lm.generate("Once upon a time", max_new_tokens=20, temperature=0.8, top_k=40, seed=1, first_sample=1)[0]
        == out[1]
    )


def test_several_prompts_give_lists_in_order(lm: LanguageModel) -> None:
    prompts = ["The", "Once upon a time there", "狐狸", "x"]
    out = lm.generate(prompts, max_new_tokens=30, seed=5, num_return_sequences=3, batch_size=2)
    assert [[g.prompt for g in group] for group in out] == [[p] * 3 for p in prompts]
    for prompt, group in zip(prompts, out, strict=True):
        assert group == lm.generate(prompt, max_new_tokens=30, seed=5, num_return_sequences=3)


def test_ids_work_like_text_and_without_a_tokenizer(lm: LanguageModel, wordless: LanguageModel) -> None:
    assert lm.tokenizer is not None
    ids = lm.tokenizer.encode("The quick")
    by_text = lm.generate("The quick", max_new_tokens=10, seed=2)[0]
    by_ids = lm.generate(token_ids=ids, max_new_tokens=10, seed=2)[0]
    assert by_ids.token_ids == by_text.token_ids
    groups: Any = lm.generate(token_ids=[ids, [5]], max_new_tokens=4, seed=2)
    assert len(groups) == 2
    alone = wordless.generate(token_ids=ids, max_new_tokens=10, seed=2)[0]
    assert (alone.text, len(alone.token_ids)) == ("", 10)
    assert wordless.score(token_ids=ids).logprobs.shape == (len(ids),)
    assert wordless.next_tokens(token_ids=ids, k=2)[0][1] == ""
    for call in (
        lambda: wordless.generate("text"),
        lambda: wordless.generate(token_ids=ids, stop="x"),
        lambda: wordless.stream(token_ids=ids),
        lambda: wordless.score("text"),
    ):
        with pytest.raises(
            CheckpointError, match="needs a tokenizer, but a model without words has none; give token ids"
        ):
            call()


def test_without_a_prompt_it_begins_after_the_end_token(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    free = lm.generate(max_new_tokens=8, seed=3)[0]
    assert free.prompt_token_ids == [lm.tokenizer.eos_id]
    assert free.token_ids == lm.generate(token_ids=[lm.tokenizer.eos_id], max_new_tokens=8, seed=3)[0].token_ids


def test_stream_joins_to_generate(lm: LanguageModel) -> None:
    for options in ({}, {"stop": "e"}, {"stop": ["ab", "n"], "include_stop": True}, {"max_length": 40}):
        for seed in range(4):
            expected = lm.generate(
                "Once upon", seed=seed, **({"max_new_tokens": 60} if "max_length" not in options else {}), **options
            )[0]
            pieces = list(
                lm.stream(
                    "Once upon", seed=seed, **({"max_new_tokens": 60} if "max_length" not in options else {}), **options
                )
            )
            assert "".join(pieces) == expected.text


def test_stop_strings_end_the_text_and_the_tokens(lm: LanguageModel) -> None:
    whole = lm.generate("The", max_new_tokens=60, seed=9)[0]
    assert whole.text
    stop = whole.text[10:13]
    cut = lm.generate("The", max_new_tokens=60, seed=9, stop=stop)[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
    assert len(cut.logprobs) == len(cut.token_ids)


def test_bad_words_never_come(lm: LanguageModel) -> None:
    words = {w for g in lm.generate("The", max_new_tokens=40, seed=1, num_return_sequences=10) for w in g.text}
    letter = sorted(w for w in words if w.isascii() and w.isalpha())[0]
    for generation in lm.generate("The", max_new_tokens=40, seed=1, num_return_sequences=10, bad_words=[letter]):
        assert lm.tokenizer is not None
        assert lm.tokenizer.encode(letter)[0] not in generation.token_ids


def test_lengths_count_as_documented(lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    n = len(lm.tokenizer.encode("The quick"))
    out = lm.generate("The quick", max_length=n + 7, stop_ids=(), seed=1)[0]
    assert len(out.token_ids) == 7
    with pytest.raises(RequestError, match=f"max_length = {n} must be a whole number above the prompt's {n} tokens"):
        lm.generate("The quick", max_length=n)
    with pytest.raises(RequestError, match=r"Give max_length .* or max_new_tokens, not both"):
        lm.generate("The quick", max_length=50, max_new_tokens=5)


def test_seeds(lm: LanguageModel) -> None:
    def texts() -> list[str]:
        return [lm.generate("The", max_new_tokens=12)[0].text for _ in range(3)]

    set_seed(42)
    first = texts()
    assert len(set(first)) == 3
    set_seed(42)
    assert texts() == first
    set_seed(43)
    assert texts() != first
    random = lm.generate("The", max_new_tokens=12)[0]
    assert lm.generate("The", max_new_tokens=12, seed=random.seed)[0] == random
    with pytest.raises(RequestError, match="seed = -1 must be a whole number from 0"):
        set_seed(-1)


def test_score_tells_tokens_and_units(lm: LanguageModel) -> None:
    score = lm.score(TEXT, top=2)
    assert next(TEXT[a:b] for a, b in score.offsets if a != b) == "The"
    assert "".join(score.tokens).startswith("The quick")
    assert score.words == len(TEXT.split())
    assert score.bytes == len(TEXT.encode())
    mean = -float(np.mean(score.logprobs, dtype=np.float64))
    assert score.perplexity == pytest.approx(np.exp(mean), rel=1e-6)
    assert score.word_perplexity == pytest.approx(np.exp(mean * len(score.token_ids) / score.words), rel=1e-6)
    assert score.byte_perplexity == pytest.approx(2**score.bits_per_byte, rel=1e-9)
    assert score.top_ids.shape == (len(score.token_ids), 2)
    unscored = lm.score(TEXT, bos=False)
    assert np.isnan(unscored.logprobs[0])
    assert unscored.perplexity > 0


def test_features(lm: LanguageModel) -> None:
    whole = lm.features("The quick brown fox", pooling="none")
    assert whole.shape[1] == 32
    np.testing.assert_allclose(lm.features("The quick brown fox"), whole.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(lm.features("The quick brown fox", pooling="last"), whole[-1])
    np.testing.assert_array_equal(lm.features("The quick brown fox", layer=2, pooling="none"), whole)
    assert lm.features(TEXT * 3, pooling="none").shape[0] == len(lm.score(TEXT * 3).token_ids)
    with pytest.raises(RequestError, match="layer = 9 must be a whole number from -3 to 2"):
        lm.features("x", layer=9)
    with pytest.raises(RequestError, match="pooling = 'max' is not one of"):
        lm.features("x", pooling="max")  # type: ignore[arg-type]


def test_what_cannot_be_asked(lm: LanguageModel) -> None:
    for call, sentence in (
        (lambda: lm.generate(""), "The prompt is empty; give some text, or no prompt at all"),
        (lambda: lm.generate([]), "The list of prompts is empty"),
        (lambda: lm.generate([5]), "A prompt must be text, not int; for token ids use token_ids="),
        (lambda: lm.generate("x", token_ids=[1]), "as text or as token_ids, not both"),
        (lambda: lm.generate("x", num_return_sequences=0), "num_return_sequences = 0 must be"),
        (lambda: lm.generate("x", temprature=1), r"Unknown option 'temprature'. Did you mean 'temperature'\?"),
        (lambda: lm.generate("x", num_beams=2, stop="a"), "Stop strings cannot be used with num_beams > 1"),
        (lambda: lm.stream("x", num_beams=2), "num_beams > 1 cannot be streamed"),
        (lambda: lm.generate("x", bad_words="damn"), "bad_words must be a list of texts"),
        (lambda: lm.generate("x", logit_bias={9999: 1.0}), "logit_bias names the token 9999"),
        (lambda: lm.score(""), "There is no text to score"),
        (lambda: lm.next_tokens("x", k=0), "k = 0 must be"),
    ):
        with pytest.raises(RequestError, match=sentence):
            call()


def test_a_trailing_space_is_remarked_on(lm: LanguageModel) -> None:
    with pytest.warns(UserWarning, match="The prompt ends with a space"):
        lm.generate("The ", max_new_tokens=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lm.generate("The\n", max_new_tokens=1)


def test_two_models_in_one_process(folder: Path, lm: LanguageModel, wordless: LanguageModel) -> None:
    other = LanguageModel.load(folder, precision="int8", threads=1)
    first = lm.generate("The", max_new_tokens=9, seed=1)
    assert len(other.generate("The", max_new_tokens=9, seed=1)[0].token_ids) > 0
    wordless.generate(token_ids=[4], max_new_tokens=3)
    assert lm.generate("The", max_new_tokens=9, seed=1) == first
    assert "int8" in repr(other)


def test_defaults_come_from_the_checkpoint(tmp_path: Path, config: GPT2Config, tokenizer: Tokenizer) -> None:
    settings = {"do_sample": True, "temperature": 0.7, "top_k": 9, "eos_token_id": [3, 4]}
    save_hf(tmp_path / "m", config, weights_of(config), tokenizer, settings)
    defaults = LanguageModel.load(tmp_path / "m").defaults
    assert defaults == SamplingParams(temperature=0.7, top_k=9, stop_ids=(3, 4))


def test_a_device_needs_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.delitem(__import__("sys").modules, "gpt2lab.model.gpt", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'gpt2lab\[train\]'"):
        LanguageModel.load(folder, device="cuda")


# ---- the model card's calls ------------------------------------------------------------------------------------


def test_the_cards_snippet(folder: Path, lm: LanguageModel) -> None:
    generator = pipeline("text-generation", model=str(folder))
    set_seed(42)
    answers = generator("Hello, I'm a language model,", max_length=45, num_return_sequences=5)
    assert len(answers) == 5
    assert lm.tokenizer is not None
    for answer in answers:
        assert answer["generated_text"].startswith("Hello, I'm a language model,")
    set_seed(42)
    assert generator("Hello, I'm a language model,", max_length=45, num_return_sequences=5) == answers


def test_pipeline_options(lm: LanguageModel) -> None:
    generator = pipeline("text-generation", model=lm)
    greedy = lm.generate("The quick", temperature=0.0, max_new_tokens=9)[0].text
    assert generator("The quick", do_sample=False, max_new_tokens=9) == [{"generated_text": "The quick" + greedy}]
    assert generator("The quick", do_sample=False, max_new_tokens=9, return_full_text=False, pad_token_id=0) == [
        {"generated_text": greedy}
    ]
    several = generator(["The", "Once"], max_new_tokens=3, seed=1)
    assert [len(group) for group in several] == [1, 1]
    features = pipeline("feature-extraction", model=lm)("The quick")
    np.testing.assert_allclose(features[0], lm.features("The quick", pooling="none"))
    with pytest.raises(RequestError, match=r"Unknown task 'text-generaton'. Did you mean 'text-generation'\?"):
        pipeline("text-generaton", model=lm)
    with pytest.raises(RequestError, match=r"Unknown option 'max_lenght'. Did you mean 'max_length'\?"):
        generator("x", max_lenght=3)
