"""What the server tells the pages: tokens, ways to go on, a text from inside. All equal the library's."""

from __future__ import annotations

import base64
import json
import math

import httpx2
import numpy as np
import pytest

from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.neurons import neurons
from gpt2lab.server.gate import POLICY
from gpt2lab.server.pages import INSPECTED
from live_server import Live


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


def post(live: Live, path: str, **body) -> dict:
    answer = httpx2.post(f"{live.url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---- pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/desk/", "/inside/", "/articles/", "/detect/", "/music/"])
def test_pages_come_with_the_policy_and_name_only_what_is_here(live: Live, path: str) -> None:
    answer = httpx2.get(f"{live.url}{path}")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "style=" not in answer.text


# ---- tokens --------------------------------------------------------------------------------------------------


def test_pieces_are_the_text(live: Live, lm: LanguageModel) -> None:
    text = "The café 海 was open."
    answer = post(live, "/api/tokens", text=text)
    assert lm.tokenizer is not None
    assert answer["token_ids"] == lm.tokenizer.encode(text)
    assert "".join(answer["pieces"]) == answer["text"] == text
    assert answer["exact"]
    assert post(live, "/api/tokens", token_ids=answer["token_ids"]) == answer


def test_tokens_that_no_text_has_are_told_from_others(live: Live, lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    letters = [lm.tokenizer.encode(c)[0] for c in "the"]
    answer = post(live, "/api/tokens", token_ids=letters)
    assert answer["text"] == "the"
    assert answer["token_ids"] == letters
    assert not answer["exact"]
    half = lm.tokenizer.encode_bytes("海".encode()[:1])
    assert post(live, "/api/tokens", token_ids=half)["text"] == "\ufffd"


def test_nothing_has_no_tokens(live: Live) -> None:
    assert post(live, "/api/tokens") == {"model": "tiny", "text": "", "token_ids": [], "pieces": [], "exact": True}
    refused = httpx2.post(f"{live.url}/api/tokens", json={"text": "a", "token_ids": [1]})
    assert refused.json()["error"]["message"] == "Give text or token_ids, not both."


# ---- looking ahead -------------------------------------------------------------------------------------------


def test_paths_begin_as_the_next_tokens_do(live: Live, lm: LanguageModel) -> None:
    answer = post(live, "/api/ahead", text="The old man", kind="tokens", k=5, steps=3)
    expected = lm.next_tokens("The old man", k=5)
    assert [item["token_ids"][0] for item in answer["items"]] == [i for i, _, _ in expected]
    assert [item["probabilities"][0] for item in answer["items"]] == pytest.approx([p for _, _, p in expected])
    assert lm.tokenizer is not None
    for item in answer["items"]:
        greedy = lm.generate(
            token_ids=[*lm.tokenizer.encode("The old man"), item["token_ids"][0]], max_new_tokens=2, temperature=0.0,
            top_k=0, repetition_penalty=1.0, stop_ids=(),
        )  # fmt: skip
        assert item["token_ids"][1:] == greedy[0].token_ids
        assert item["probability"] == pytest.approx(math.prod(item["probabilities"]))
        assert item["text"] == "".join(item["pieces"]) == lm.tokenizer.decode(item["token_ids"])


def test_words_are_whole(live: Live) -> None:
    answer = post(live, "/api/ahead", text="She went to the", kind="words", k=8)
    items = answer["items"]
    assert len(items) == 8
    assert [i["probability"] for i in items] == sorted((i["probability"] for i in items), reverse=True)
    for item in items:
        assert item["text"].strip() == "" or len(item["text"].split()) == 1
        assert item["probability"] <= math.prod(item["probabilities"]) + 1e-9
    following = post(live, "/api/next", text="She went to the" + items[0]["text"], k=20)["raw"]
    letters = sum(t["probability"] for t in following if t["text"][:1].isalnum())
    assert items[0]["probability"] / math.prod(items[0]["probabilities"]) <= 1 - letters + 1e-6


def test_looking_ahead_where_a_text_begins(live: Live) -> None:
    assert len(post(live, "/api/ahead", kind="paths", k=3, steps=2)["items"]) == 3
    refused = httpx2.post(f"{live.url}/api/ahead", json={"steps": 17})
    assert "steps = 17 is not possible" in refused.json()["error"]["message"]


# ---- looking inside ------------------------------------------------------------------------------------------


def test_an_inspection_is_the_librarys(live: Live, lm: LanguageModel) -> None:
    text = "The old man looked at the sea."
    answer = post(live, "/api/inspect", text=text, top=3)
    found = lm.inspect(text, top=3)
    score = lm.score(text)
    assert answer["token_ids"] == [lm.bos_id(), *score.token_ids]
    assert answer["token_count"] == len(answer["token_ids"])
    assert "".join(answer["pieces"]) == text
    assert answer["surprises"][0] is None
    assert answer["surprises"][1:] == pytest.approx((-score.logprobs / math.log(2)).tolist(), rel=1e-5)
    t, layers, heads = len(answer["token_ids"]), answer["n_layer"], answer["n_head"]
    assert (layers, heads) == (lm.config.n_layer, lm.config.n_head)
    rows = np.frombuffer(base64.b64decode(answer["attentions"]), "<u2") / answer["attention_unit"]
    np.testing.assert_allclose(
        rows.reshape(layers, heads, -1), found.inside.attentions[(..., *np.tril_indices(t))], atol=1e-5
    )
    for layer, lens in enumerate(answer["lens"]):
        assert lens["ranks"] == found.inside.ranks[layer].tolist()
        assert lens["logprobs"][-1] is None
        assert lens["logprobs"][:-1] == pytest.approx(found.inside.logprobs[layer, :-1].tolist(), rel=1e-5)
        assert [len(place) for place in lens["top"]] == [3] * t
        best = found.inside.top_ids[layer, :, 0]
        assert lm.tokenizer is not None
        assert [answer["names"][place[0][0]] for place in lens["top"]] == [
            lm.tokenizer.token_text(int(i)) for i in best
        ]


def test_of_a_long_text_the_beginning_is_looked_at(live: Live) -> None:
    answer = post(live, "/api/inspect", text="On and on it went. " * 80, top=1)
    assert len(answer["token_ids"]) == INSPECTED < answer["token_count"]


def test_a_page_to_keep_asks_nobody_and_ends_where_it_should(live: Live) -> None:
    text = "</script><script>alert(1)</script> & <b>bold</b>"
    page = httpx2.post(f"{live.url}/api/inspect/page", json={"text": text}, timeout=60)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.count("<script") == 2
    assert page.text.count("</script>") == 2
    assert "https://" not in page.text
    assert "import {" not in page.text
    data = page.text.partition('id="data">')[2].partition("</script>")[0]
    assert "".join(json.loads(data)["pieces"]) == text


# ---- neurons, and a text without one of its tokens -------------------------------------------------------------


def test_neurons_are_the_librarys(live: Live, lm: LanguageModel) -> None:
    text = "The old man looked at the sea."
    answer = post(live, "/api/inspect/neurons", text=text, layer=2, at=3, count=4, top=2)
    expected = neurons(lm, text, layer=2, at=3, count=4, top=2)
    assert (answer["layer"], answer["at"], answer["width"]) == (2, 3, lm.config.inner)
    assert [n["number"] for n in answer["neurons"]] == [n.number for n in expected]
    assert lm.tokenizer is not None
    for said, found in zip(answer["neurons"], expected, strict=True):
        assert said["activation"] == pytest.approx(found.activation)
        for key, tokens in (("promotes", found.promotes), ("suppresses", found.suppresses)):
            assert [text for text, _ in said[key]] == [lm.tokenizer.token_text(i) for i, _ in tokens]
            assert [effect for _, effect in said[key]] == pytest.approx([effect for _, effect in tokens])


def test_a_text_without_a_token_is_read_without_it(live: Live, lm: LanguageModel) -> None:
    text = "The old man looked at the sea."
    ids = lm.score(text).token_ids
    for at in (1, 3, len(ids)):
        surprises = post(live, "/api/inspect/without", text=text, at=at)["surprises"]
        assert len(surprises) == len(ids) + 1
        assert surprises[0] is None is surprises[at]
        rest = lm.score(token_ids=[*ids[: at - 1], *ids[at:]])
        known = [bits for bits in surprises if bits is not None]
        assert known == pytest.approx((-rest.logprobs / math.log(2)).tolist(), rel=1e-5)
    assert post(live, "/api/inspect/without", text="sea", at=1)["surprises"][:2] == [None, None]


@pytest.mark.parametrize(
    ("path", "given", "sentence"),
    [
        ("neurons", {"layer": 99, "at": 1}, "layer = 99 must be a whole number from 0 to"),
        ("neurons", {"layer": 0, "at": 99}, "at = 99 must be a whole number from 0 to"),
        ("neurons", {"at": 1}, "layer is missing."),
        ("without", {"at": 0}, "at = 0 is not possible: input should be greater than or equal to 1."),
        ("without", {"at": 99}, "at = 99 must be a whole number from 0 to"),
    ],
)
def test_places_that_are_not_there(live: Live, path: str, given: dict[str, int], sentence: str) -> None:
    refused = httpx2.post(f"{live.url}/api/inspect/{path}", json={"text": "The sea", **given})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(sentence)
