"""What requests and answers look like: OpenAI's names, and a few of the engine's own. Read by pydantic, strictly.

Nothing is converted but whole numbers to real ones; an unknown name is an error. The descriptions become /openapi.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Ids = Annotated[list[TokenId], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]
Prompt = str | Annotated[list[Text], Field(min_length=1)] | Ids | Annotated[list[Ids], Field(min_length=1)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopText = Annotated[str, Field(min_length=1, max_length=100)]

MODEL = Field(None, description="One of /v1/models; by default the first.")


class Body(BaseModel):
    """What every request shares."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StreamOptions(Body):
    """How to stream."""

    include_usage: bool | None = Field(None, description="Send the usage in a last piece that has no choices.")
    include_obfuscation: bool | None = Field(None, description="Taken and not used; nothing is obfuscated.")


class CompletionRequest(Body):
    """A completion. Parameters that it leaves out have OpenAI's defaults, not the model's own."""

    model: str | None = MODEL
    prompt: Prompt | None = Field(
        None, description="Text, texts, token ids or lists of them; nothing or an empty text begins a new text."
    )
    max_tokens: int | None = Field(16, ge=0, description="New tokens of each text at most.")
    min_tokens: int | None = Field(0, ge=0, description="No end token before so many.")
    temperature: float | None = Field(1.0, ge=0, le=100, description="0 always takes the likeliest token.")
    top_p: float | None = Field(1.0, gt=0, le=1)
    top_k: int | None = Field(0, ge=0, lt=2**31, description="Keep the k likeliest tokens; 0 keeps all.")
    min_p: float | None = Field(0.0, ge=0, le=1)
    typical_p: float | None = Field(1.0, gt=0, le=1)
    repetition_penalty: float | None = Field(1.0, gt=0, le=100)
    no_repeat_ngram_size: int | None = Field(0, ge=0, lt=2**31)
    presence_penalty: float | None = Field(0.0, ge=-2, le=2, description="Only 0; the engine has repetition_penalty.")
    frequency_penalty: float | None = Field(0.0, ge=-2, le=2, description="Only 0; the engine has repetition_penalty.")
    n: int | None = Field(1, ge=1, le=1024, description="Texts for each prompt.")
    best_of: int | None = Field(
        None, ge=1, le=1024, description="Make so many for each prompt and return the n likeliest per token."
    )
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = Field(
        None, description="The text ends before the first of these."
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="Decides every random choice; a random one if absent.")
    logprobs: int | None = Field(None, ge=0, le=20, description="Say the logprobs of so many likeliest tokens.")
    echo: bool | None = Field(False, description="Return the prompt before the text.")
    logit_bias: dict[Annotated[str, Field(pattern=r"^[0-9]{1,10}$")], Bias] | None = Field(
        None, description="Token id -> added to its logit."
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    suffix: None = Field(None, description="Not supported: GPT-2 only writes forwards.")
    user: str | None = Field(None, description="Taken and not used.")
    return_token_ids: bool = Field(False, description="Return token ids beside text, of prompts too.")


class EmbeddingRequest(Body):
    """Texts to be turned into vectors."""

    model: str | None = MODEL
    input: Text | Annotated[list[Text], Field(min_length=1)] | Ids | Annotated[list[Ids], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", description="base64: little-endian float32 values."
    )
    dimensions: int | None = Field(None, ge=1, description="Keep the first so many, at length 1 again.")
    user: str | None = Field(None, description="Taken and not used.")


class NextRequest(Body):
    """Which token comes next? Give text or token ids; nothing asks how a text begins."""

    model: str | None = MODEL
    text: str | None = None
    token_ids: Ids | None = None
    k: int = Field(10, ge=1, le=100, description="How many tokens.")
    temperature: float = Field(1.0, ge=0, le=100)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, lt=2**31)
    min_p: float = Field(0.0, ge=0, le=1)
    typical_p: float = Field(1.0, gt=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=100)


class AnalyzeRequest(Body):
    """A text to be looked at as GLTR does; `project` is GLTR's word for `model`."""

    model: str | None = MODEL
    project: str | None = Field(None, description="As model.")
    text: Text
    topk: int = Field(20, ge=1, le=100, description="How many likeliest tokens at each place.")


PARAMETERS = sorted(
    {name for body in (CompletionRequest, EmbeddingRequest, NextRequest, AnalyzeRequest, StreamOptions)
     for name in body.model_fields}
)  # fmt: skip
"""Every name that a request may use."""


# ---- answers -------------------------------------------------------------------------------------------------


class Failure(BaseModel):
    """What went wrong, in a sentence."""

    message: str
    type: str
    param: str | None
    code: str | None


class FailureBody(BaseModel):
    """A failure as OpenAI's clients read it."""

    error: Failure


class Logprobs(BaseModel):
    """One entry for each token. A token that is no whole character is named bytes:\\xe2 and so on."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None


class Usage(BaseModel):
    """Tokens: of all prompts, of all texts that were made."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """Texts; `seed` makes them again."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    seed: int
    choices: list[Choice]
    usage: Usage | None


class Model(BaseModel):
    """A model. `defaults` are the sampling parameters that its own files ask for; null until it is loaded."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    loaded: bool
    n_positions: int | None = None
    vocab_size: int | None = None
    description: str | None = None
    defaults: dict[str, Any] | None = None


class ModelList(BaseModel):
    """All models that may be asked for."""

    object: Literal["list"]
    data: list[Model]


class Embedding(BaseModel):
    """A vector of length 1, as numbers or in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """The vectors, in the order of the inputs."""

    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


class Token(BaseModel):
    """A token and its probability."""

    id: int
    text: str
    probability: float


class WindowOfText(BaseModel):
    """Which tokens of the text the model reads: those from number `start` on."""

    start: int
    length: int
    n_positions: int


class NextTokens(BaseModel):
    """The likeliest tokens: `raw` as the model says, `filtered` as the settings leave them, renormalised.

    `raw_mass`, `filtered_mass`: the sum over the tokens that are listed; `filtered_count`: how many the settings leave.
    """

    model: str
    token_ids: list[int]
    tokens: list[str]
    window: WindowOfText
    raw: list[Token]
    raw_mass: float
    filtered: list[Token]
    filtered_mass: float
    filtered_count: int
    entropy: float


class AnalysisRequest(BaseModel):
    """What was asked, as GLTR repeats it."""

    project: str
    text: str


class AnalysisResult(BaseModel):
    """GLTR's payload: strings with the beginning token first; for each token [rank, probability] and the likeliest."""

    bpe_strings: list[str]
    real_topk: list[tuple[int, float]]
    pred_topk: list[list[tuple[str, float]]]


class Analysis(BaseModel):
    """GLTR's answer."""

    request: AnalysisRequest
    result: AnalysisResult


class Health(BaseModel):
    """Whether it runs."""

    status: Literal["ok"]
