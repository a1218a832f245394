"""What a server says of texts that it reads: vectors, next tokens, GLTR's payload, counts. All equal the library's."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpt2lab.lm.model import LanguageModel
from live_server import Live, live_server

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return LanguageModel.load("tiny", threads=1)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_server({"tiny": "tiny"}) as server:
        yield server


def post(live: Live, path: str, **body) -> dict:
    answer = httpx2.post(f"{live.url}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(live: Live, path: str, **body) -> str:
    answer = httpx2.post(f"{live.url}{path}", json=body)
    assert answer.status_code == 400
    return answer.json()["error"]["message"]


# ---- embeddings ----------------------------------------------------------------------------------------------


def test_vectors_point_where_features_do(live: Live, lm: LanguageModel) -> None:
    texts = ["The sea was calm.", "A dog barked " * 300]  # the second is longer than the window
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none") as client:
        coded = client.embeddings.create(model="tiny", input=texts)  # in base64, unless it is told otherwise
        plain = client.embeddings.create(model="tiny", input=texts[0], encoding_format="float", dimensions=10)
    for entry, text in zip(coded.data, texts, strict=True):
        expected = lm.features(text)
        np.testing.assert_allclose(entry.embedding, expected / np.linalg.norm(expected), atol=1e-6)
    short = lm.features(texts[0])[:10]
    np.testing.assert_allclose(plain.data[0].embedding, short / np.linalg.norm(short), atol=1e-6)
    assert lm.tokenizer is not None
    assert plain.usage.prompt_tokens == len(lm.tokenizer.encode(texts[0]))


def test_base64_is_little_endian_float32(live: Live) -> None:
    coded = post(live, "/v1/embeddings", input=[1, 2, 3], encoding_format="base64")["data"][0]["embedding"]
    plain = post(live, "/v1/embeddings", input=[[1, 2, 3]])["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == pytest.approx(plain)


def test_mistakes_with_embeddings(live: Live) -> None:
    assert "dimensions = 257 is more than this model's 256." in refused(
        live, "/v1/embeddings", input="a", dimensions=257
    )
    assert "The input has 65 texts; at most 64 are allowed" in refused(live, "/v1/embeddings", input=["a"] * 65)
    assert refused(live, "/v1/embeddings") == "input is missing."
    assert "input = [] is not possible" in refused(live, "/v1/embeddings", input=[])


# ---- next tokens ---------------------------------------------------------------------------------------------


def test_next_tokens_are_the_librarys(live: Live, lm: LanguageModel) -> None:
    answer = post(live, "/api/next", text="Joel is", k=7)
    expected = lm.next_tokens("Joel is", k=7)
    assert [(t["id"], t["text"]) for t in answer["raw"]] == [(i, text) for i, text, _ in expected]
    assert [t["probability"] for t in answer["raw"]] == pytest.approx([p for _, _, p in expected])
    assert answer["raw_mass"] == pytest.approx(sum(p for _, _, p in expected))
    assert "".join(answer["tokens"]) == "Joel is"
    assert answer["window"] == {"start": 0, "length": len(answer["token_ids"]), "n_positions": lm.config.n_positions}
    by_ids = post(live, "/api/next", token_ids=answer["token_ids"], k=7)
    assert by_ids == answer


def test_the_filtered_side_is_renormalised(live: Live) -> None:
    answer = post(live, "/api/next", text="The", k=10, top_k=3, temperature=0.5)
    assert answer["filtered_count"] == 3
    assert [t["id"] for t in answer["filtered"]] == [t["id"] for t in answer["raw"][:3]]
    squares = [t["probability"] ** 2 for t in answer["raw"][:3]]  # temperature 1/2 squares probabilities
    assert [t["probability"] for t in answer["filtered"]] == pytest.approx([s / sum(squares) for s in squares])
    assert answer["filtered_mass"] == pytest.approx(1)
    greedy = post(live, "/api/next", text="The", temperature=0)
    assert [(t["id"], t["probability"]) for t in greedy["filtered"]] == [(greedy["raw"][0]["id"], 1.0)]
    free = post(live, "/api/next", text="The", k=2)
    assert free["filtered_count"] == 4096
    assert [t["probability"] for t in free["filtered"]] == pytest.approx([t["probability"] for t in free["raw"]])


def test_a_click_costs_one_step(live: Live) -> None:
    """Of a text that goes on from the one before, all but the last token is found in the cache."""
    ids = post(live, "/api/next", text="A long way from here there was a house with a red door")["token_ids"]
    before = live.model("tiny").scheduler.prefixes.statistics()
    for _ in range(3):
        ids.append(post(live, "/api/next", token_ids=ids)["raw"][0]["id"])
    after = live.model("tiny").scheduler.prefixes.statistics()
    asked = sum(len(ids) - 1 - back for back in (1, 2, 3))
    assert after.asked_tokens - before.asked_tokens == asked
    assert after.found_tokens - before.found_tokens == asked


def test_a_long_text_slides_as_generation_does(live: Live, lm: LanguageModel) -> None:
    assert lm.tokenizer is not None
    n = lm.config.n_positions
    ids = lm.tokenizer.encode("The rain fell on the town and on the hills. " * 80)[: n - 6]
    greedy = {"temperature": 0.0, "top_k": 0, "repetition_penalty": 1.0, "stop_ids": ()}
    made = lm.generate(token_ids=ids, max_new_tokens=12, **greedy)[0].token_ids
    starts = []
    for token in made:
        answer = post(live, "/api/next", token_ids=ids, k=1)
        starts.append(answer["window"]["start"])
        assert answer["raw"][0]["id"] == token
        ids.append(token)
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] == n // 2


def test_nothing_asks_how_a_text_begins(live: Live, lm: LanguageModel) -> None:
    answer = post(live, "/api/next", k=3)
    assert answer["token_ids"] == []
    assert [t["id"] for t in answer["raw"]] == [i for i, _, _ in lm.next_tokens(token_ids=[lm.bos_id()], k=3)]
    assert "Give text or token_ids, not both." in refused(live, "/api/next", text="a", token_ids=[1])
    assert "k = 101 is not possible: input should be less than or equal to 100" in refused(live, "/api/next", k=101)


# ---- GLTR ----------------------------------------------------------------------------------------------------


def test_gltrs_payload(live: Live, lm: LanguageModel) -> None:
    text = "The café\nwas open " * 120  # longer than the window
    answer = post(live, "/api/analyze", project="tiny", text=text)
    score = lm.score(text, top=20)
    result = answer["result"]
    assert answer["request"] == {"project": "tiny", "text": text}
    assert len(result["bpe_strings"]) == len(score.token_ids) + 1  # what begins a text comes first
    assert result["bpe_strings"][1] == "The"
    assert any(name.startswith("\u0120") for name in result["bpe_strings"])
    assert "\u010a" in "".join(result["bpe_strings"])
    assert [rank for rank, _ in result["real_topk"]] == score.ranks.tolist()
    assert [p for _, p in result["real_topk"]] == pytest.approx([math.exp(p) for p in score.logprobs], abs=1e-5)
    assert all(len(row) == 20 for row in result["pred_topk"])
    for (rank, probability), row, name in zip(
        result["real_topk"], result["pred_topk"], result["bpe_strings"][1:], strict=True
    ):
        if rank < 20:
            assert row[rank] == [name, probability]


# ---- state ---------------------------------------------------------------------------------------------------


def test_metrics_are_prometheus_text(live: Live) -> None:
    def sample(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(httpx2.get(f"{live.url}/metrics").text)
        return sum(
            s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()
        )

    before = sample("gpt2lab_new_tokens_total", model="tiny")
    asked = sample("gpt2lab_requests_total", path="/v1/completions", status="200")
    post(live, "/v1/completions", prompt="One", max_tokens=7)
    assert sample("gpt2lab_new_tokens_total", model="tiny") == before + 7
    assert sample("gpt2lab_requests_total", path="/v1/completions", status="200") == asked + 1
    assert sample("gpt2lab_first_token_seconds_count") >= 1
    assert sample("gpt2lab_model_loaded", model="tiny") == 1
    assert sample("gpt2lab_running", model="tiny") == 0


def test_health(live: Live) -> None:
    assert httpx2.get(f"{live.url}/health").json() == {"status": "ok"}
