"""What the pages ask for beyond /api/next, and what they are told. See schemas.py for the manner."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from gpt2lab.server.schemas import MODEL, Body, Ids, Text


class TokensRequest(Body):
    """A text to be cut into tokens, or tokens to be joined to a text. Give one of them."""

    model: str | None = MODEL
    text: str | None = None
    token_ids: Ids | None = None


class AheadRequest(Body):
    """How may the text go on? Give text or token ids; nothing asks how a text begins."""

    model: str | None = MODEL
    text: str | None = None
    token_ids: Ids | None = None
    kind: Literal["tokens", "words", "paths"] = Field(
        "tokens",
        description="tokens: after each of the k likeliest next tokens, always the likeliest; paths: the k likeliest "
        "paths; words: the k likeliest next words, whole ones.",
    )
    k: int = Field(10, ge=1, le=50, description="How many.")
    steps: int = Field(4, ge=1, le=16, description="Tokens of each; words have as many as they need.")


class InspectRequest(Body):
    """A text to be looked at from inside."""

    model: str | None = MODEL
    text: Text
    top: int = Field(5, ge=1, le=20, description="How many likeliest tokens at each place of each layer.")


class NeuronsRequest(Body):
    """Which neurons of a layer fire most at a token of a text?"""

    model: str | None = MODEL
    text: Text
    layer: int = Field(ge=0, lt=2**31, description="Block, from 0.")
    at: int = Field(ge=0, lt=2**31, description="Token, as /api/inspect counts them: 0 begins the text.")
    count: int = Field(8, ge=1, le=50, description="How many neurons.")
    top: int = Field(6, ge=1, le=20, description="How many tokens of each kind for each.")


class WithoutRequest(Body):
    """What does a text without one of its tokens come to?"""

    model: str | None = MODEL
    text: Text
    at: int = Field(ge=1, lt=2**31, description="Token, as /api/inspect counts them: 1 is the text's first.")


# ---- answers -------------------------------------------------------------------------------------------------


class TokensOfText(BaseModel):
    """A text and its tokens.

    `pieces`: the characters that each token completes, together the text. `exact`: whether the text, read anew, has
    these very tokens.
    """

    model: str
    text: str
    token_ids: list[int]
    pieces: list[str]
    exact: bool


class AheadItem(BaseModel):
    """Tokens that may come next: the probability of all together, and of each after those before it."""

    token_ids: list[int]
    pieces: list[str]
    text: str
    probability: float
    probabilities: list[float]


class Ahead(BaseModel):
    """Ways to go on, likeliest first. `steps`: fewer than asked for where the model's window is nearly full."""

    model: str
    kind: Literal["tokens", "words", "paths"]
    steps: int
    items: list[AheadItem]


class LensLayer(BaseModel):
    """What a layer says after each token of the one that follows; null after the last, which nothing follows.

    `top`: the likeliest, as [index into names, probability].
    """

    logprobs: list[float | None]
    ranks: list[int]
    entropies: list[float | None]
    top: list[list[tuple[int, float]]]


class Inspected(BaseModel):
    """A text from inside; the token that begins it comes first, and its piece is empty.

    `token_count`: of the whole text; where it is more than a page can show, what is here is its beginning.
    `surprises`: in bits. `lens`: the embeddings first, the model's own word last. `attentions`: rows of all maps, layer
    by layer and head by head, row i with i + 1 entries: little-endian 16-bit numbers of 1 / attention_unit, in base64.
    """

    model: str
    token_count: int
    token_ids: list[int]
    tokens: list[str]
    pieces: list[str]
    surprises: list[float | None]
    n_layer: int
    n_head: int
    names: list[str]
    lens: list[LensLayer]
    attentions: str
    attention_unit: int


class Neuron(BaseModel):
    """A neuron that fires.

    `promotes`, `suppresses`: next tokens, as (text, what it adds to the logit beside the mean over all tokens).
    """

    number: int
    activation: float
    promotes: list[tuple[str, float]]
    suppresses: list[tuple[str, float]]


class Neurons(BaseModel):
    """The neurons of a layer that fire most at a token, most active first; `width`: how many the layer has."""

    model: str
    layer: int
    at: int
    width: int
    neurons: list[Neuron]


class Without(BaseModel):
    """A text read without token `at`: `surprises` in bits, counted as before; null for it and for the first."""

    model: str
    at: int
    surprises: list[float | None]
