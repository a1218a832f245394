"""/v1/completions through OpenAI's own client: texts are the library's, streamed or not, alone or beside others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from gpt2lab.lm.model import LanguageModel
from live_server import Live, live_server

openai = pytest.importorskip("openai")

PLAIN = {"temperature": 1.0, "top_k": 0, "repetition_penalty": 1.0}
"""What the API means where nothing is said, in the library's words."""


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def joined(stream) -> dict[int, str]:
    """Return the texts of a stream by index."""
    texts: dict[int, str] = {}
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return texts


def test_a_completion_is_the_librarys(client, lm: LanguageModel) -> None:
    answer = client.completions.create(model="tiny", prompt="The old house", max_tokens=12, seed=7, n=3)
    expected = lm.generate("The old house", max_new_tokens=12, seed=7, num_return_sequences=3, **PLAIN)
    assert [choice.text for choice in answer.choices] == [g.text for g in expected]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.object == "text_completion"
    assert answer.model == "tiny"
    assert answer.usage.prompt_tokens == len(expected[0].prompt_token_ids)
    assert answer.usage.completion_tokens == sum(len(g.token_ids) for g in expected)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_is_the_same_text_in_pieces(client) -> None:
    asked = {"model": "tiny", "prompt": ["It was", "They said"], "max_tokens": 20, "seed": 3, "n": 2}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == {choice.index: choice.text for choice in whole.choices}
    finishes = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert finishes == ["length"] * 4
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_prompts_of_every_kind(client, lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    ids = lm.tokenizer.encode("The sea")
    kinds = ["The sea", ["The sea"], ids, [ids]]
    asked = {"model": "tiny", "max_tokens": 6, "temperature": 0, "echo": True}
    texts = [client.completions.create(**asked, prompt=prompt).choices[0].text for prompt in kinds]
    assert len(set(texts)) == 1
    assert texts[0].startswith("The sea")
    begun = [client.completions.create(**asked, prompt=prompt).choices[0].text for prompt in (None, "")]
    assert begun == [lm.generate(max_new_tokens=6, **{**PLAIN, "temperature": 0})[0].text] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings(client, lm: LanguageModel, stream: bool) -> None:
    (free,) = lm.generate("Once upon a time", max_new_tokens=40, seed=5, **PLAIN)
    stop = free.text[25:28]
    asked = {"model": "tiny", "prompt": "Once upon a time", "max_tokens": 40, "seed": 5, "stop": [stop, "@@@"]}
    answer = client.completions.create(**asked, stream=stream, logprobs=0)
    chunks = list(answer) if stream else [answer]
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == free.text[: free.text.index(stop)]
    assert chunks[-1].choices[0].finish_reason == "stop"
    tokens = [token for chunk in chunks for token in chunk.choices[0].logprobs.tokens]
    assert "".join(tokens).startswith(text)
    assert len("".join(tokens[:-1])) < len(text)  # none that lies wholly behind the end


def test_logprobs_are_the_librarys_and_of_prompts_too(client, lm: LanguageModel) -> None:
    answer = client.completions.create(
        model="tiny", prompt="The café was", max_tokens=8, seed=2, logprobs=3, echo=True
    ).choices[0]
    (made,) = lm.generate("The café was", max_new_tokens=8, seed=2, top_logprobs=3, **PLAIN)
    said = answer.logprobs
    score = lm.score(token_ids=made.prompt_token_ids, bos=False, top=3)
    count = len(made.prompt_token_ids)
    assert said.token_logprobs[0] is None
    assert said.top_logprobs[0] is None
    assert said.token_logprobs[1:] == pytest.approx([*score.logprobs[1:].tolist(), *made.logprobs], abs=1e-5)
    assert len(said.tokens) == len(said.text_offset) == len(said.top_logprobs) == count + 8
    for token, logprob, top in zip(said.tokens[1:], said.token_logprobs[1:], said.top_logprobs[1:], strict=True):
        assert top[token] == logprob
        assert 3 <= len(top) <= 4
    for token, offset in zip(said.tokens, said.text_offset, strict=True):
        if not token.startswith("bytes:"):
            assert answer.text[offset : offset + len(token)] == token


@pytest.mark.parametrize("stream", [False, True])
def test_the_end_token_has_a_logprob_and_no_text(client, lm: LanguageModel, stream: bool) -> None:
    """As OpenAI's API does it; lm-eval leaves the last entry out, whatever it is."""
    end = lm.bos_id()
    asked = {"model": "tiny", "prompt": "The end", "max_tokens": 9, "logprobs": 2, "echo": True}
    answer = client.completions.create(**asked, logit_bias={str(end): 100}, stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else [answer.choices[0]]
    assert "".join(choice.text for choice in choices) == "The end"
    assert choices[-1].finish_reason == "stop"
    tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.tokens]
    assert "".join(tokens) == "The end<|endoftext|>"
    assert choices[-1].logprobs.text_offset[-1] == len("The end")
    assert lm.tokenizer is not None
    expected = lm.score(token_ids=[*lm.tokenizer.encode("The end"), end], bos=False).logprobs[-1]
    assert choices[-1].logprobs.token_logprobs[-1] == pytest.approx(expected, abs=1e-4)


def test_echo_without_new_tokens_scores_a_text(client) -> None:
    for stream in (False, True):
        asked = {"model": "tiny", "prompt": "The sea was calm", "max_tokens": 0, "echo": True, "logprobs": 1}
        answer = client.completions.create(**asked, stream=stream)
        (chunk,) = list(answer) if stream else [answer]
        assert chunk.choices[0].text == "The sea was calm"
        assert chunk.choices[0].finish_reason == "length"
        assert all(p < 0 for p in chunk.choices[0].logprobs.token_logprobs[1:])


def test_best_of_returns_the_likeliest(client, lm: LanguageModel) -> None:
    answer = client.completions.create(model="tiny", prompt="He said", max_tokens=5, seed=1, best_of=6, n=2)
    made = lm.generate("He said", max_new_tokens=5, seed=1, num_return_sequences=6, **PLAIN)
    made.sort(key=lambda g: -sum(g.logprobs) / len(g.logprobs))
    assert [choice.text for choice in answer.choices] == [g.text for g in made[:2]]
    assert answer.usage.completion_tokens == sum(len(g.token_ids) for g in made)


def test_logit_bias_bans_and_forces(client, lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    token = lm.tokenizer.encode(" sea")[0]
    answer = client.completions.create(
        model="tiny", prompt="The", max_tokens=3, logit_bias={str(token): 100}, logprobs=0
    )
    assert answer.choices[0].logprobs.tokens == [lm.tokenizer.token_text(token)] * 3


def test_the_engines_own_parameters(client, lm: LanguageModel) -> None:
    own = {"top_k": 5, "repetition_penalty": 1.3, "min_p": 0.01}
    answer = client.completions.create(model="tiny", prompt="I", max_tokens=9, seed=4, extra_body=own)
    expected = lm.generate("I", max_new_tokens=9, seed=4, **{**PLAIN, **own})
    assert answer.choices[0].text == expected[0].text
    ids = client.completions.create(
        model="tiny", prompt="I", max_tokens=9, seed=4, extra_body={**own, "return_token_ids": True}
    ).choices[0]
    assert ids.token_ids == expected[0].token_ids
    assert ids.prompt_token_ids == expected[0].prompt_token_ids


def test_without_a_seed_texts_differ_and_the_seed_is_told(client) -> None:
    answers = [client.completions.create(model="tiny", prompt="We", max_tokens=30) for _ in range(2)]
    assert answers[0].choices[0].text != answers[1].choices[0].text
    again = client.completions.create(model="tiny", prompt="We", max_tokens=30, seed=answers[0].seed)
    assert again.choices[0].text == answers[0].choices[0].text


def test_neighbours_change_nothing(client) -> None:
    """Forty clients at once, streams and not, each get what they get alone."""

    def ask(i: int, stream: bool) -> str:
        asked = {"model": "tiny", "prompt": f"Number {i % 7} was", "max_tokens": 8 + i % 13, "seed": i}
        answer = client.completions.create(**asked, stream=stream, temperature=(i % 3) / 2)
        return joined(answer)[0] if stream else answer.choices[0].text

    alone = [ask(i, stream=False) for i in range(40)]
    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(lambda i: ask(i, stream=i % 2 == 0), range(40)))
    assert together == alone


def test_a_text_longer_than_the_window_goes_on(client, lm: LanguageModel) -> None:
    count = lm.config.n_positions + 20
    asked = {"model": "tiny", "prompt": "On and on", "max_tokens": count, "seed": 1}
    text = client.completions.create(**asked, extra_body={"min_tokens": count}).choices[0].text
    made = lm.generate("On and on", max_new_tokens=count, min_new_tokens=count, seed=1, **PLAIN)[0]
    assert text == made.text
    assert len(made.token_ids) == count


def test_the_list_of_models(client, lm: LanguageModel) -> None:
    (model,) = client.models.list().data
    assert model.id == "tiny"
    client.completions.create(model="tiny", prompt="a", max_tokens=1)
    assert client.models.retrieve("tiny").n_positions == lm.config.n_positions
    with pytest.raises(openai.NotFoundError, match=r"The model 'tinyy' is not served here\. Did you mean 'tiny'"):
        client.models.retrieve("tinyy")


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"temperature": -1}, "temperature", "temperature = -1 is not possible: input should be greater than or equal"),
        ({"best_of": 2, "n": 3}, "best_of", "best_of = 2 must be at least n = 3."),
        ({"best_of": 2, "stream": True}, "best_of", "best_of cannot be streamed"),
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported by this engine; leave it at 0"),
        ({"suffix": "x"}, "suffix", "suffix = 'x' is not possible"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream_options are for stream = true."),
        ({"max_tokens": 4097}, "max_tokens", "max_tokens = 4097 is more than the 4096 that are allowed."),
        ({"n": 65}, "n", "1 prompts with 65 texts each are 65 texts; at most 64 are allowed"),
        ({"prompt": [4096]}, None, "Token id 4096 is not one of the model's: 0 to 4095."),
        ({"prompt": "a " * 16400}, "prompt", "The prompts have .* tokens together; at most 16384 are allowed."),
        ({"extra_body": {"tempratur": 1}}, "tempratur", "Unknown parameter 'tempratur'. Did you mean 'temperature'"),
        ({"logit_bias": {"5000": 1}}, None, "logit_bias names the token 5000; the model's ids are 0 to 4095."),
        ({"min_tokens": 5, "max_tokens": 2}, None, "min_new_tokens = 5 is more than max_new_tokens = 2"),
    ],
)
def test_mistakes_are_told_in_a_sentence(client, asked, param, message) -> None:
    own = {key: asked[key] for key in asked if key == "min_tokens"}
    rest = {key: value for key, value in asked.items() if key != "min_tokens"}
    if own:
        rest["extra_body"] = own
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.completions.create(**{"model": "tiny", "prompt": "a", **rest})
    assert caught.value.body["param"] == param
    assert caught.value.body["type"] == "invalid_request_error"


def test_what_is_no_json_is_told(live: Live) -> None:
    def post(content: bytes, kind: str = "application/json") -> tuple[int, str]:
        answer = httpx2.post(f"{live.url}/v1/completions", content=content, headers={"Content-Type": kind})
        return answer.status_code, answer.json()["error"]["message"]

    assert post(b"{") == (400, "The body is not JSON: EOF while parsing an object at line 1 column 1.")
    assert post(b'{"temperature": NaN}')[0] == 400
    assert post(b'{"prompt": "\\ud800"}')[0] == 400
    assert post(b"[" * 100_000)[0] == 400
    assert post(b"[]") == (400, "The body must be a JSON object; see /openapi.json.")
    assert post(b"") == (400, "The body is missing.")
    assert post(b"{}", "text/plain") == (415, "The body must be JSON; send it with Content-Type: application/json.")


def test_ids_that_are_no_whole_character_have_names_of_their_own(random_model: Path) -> None:
    with live_server({"random": str(random_model)}) as server:
        answer = httpx2.post(
            f"{server.url}/v1/completions",
            json={"prompt": "the café", "max_tokens": 60, "seed": 1, "logprobs": 5, "echo": True},
        ).json()["choices"][0]
    assert any(token.startswith("bytes:\\x") for token in answer["logprobs"]["tokens"])
    assert all(p is None or math.isfinite(p) for p in answer["logprobs"]["token_logprobs"])
    assert all(len(top) >= 5 for top in answer["logprobs"]["top_logprobs"][1:])
