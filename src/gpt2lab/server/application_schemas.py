"""What the pages of articles and of detection ask for, and what they are told. See schemas.py for the manner."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gpt2lab.server.schemas import MODEL, Body, Text

FieldName = Literal["domain", "date", "authors", "title", "article", "summary"]
FieldText = Annotated[str, Field(max_length=2**18)] | None


class DetectRequest(Body):
    """A text: did a machine write it?"""

    model: str | None = MODEL
    text: Text


class ArticleRequest(Body):
    """A field to write, and the article's other fields; what is empty or missing is not known."""

    model: str | None = MODEL
    target: FieldName = Field(description="The field to write; article is the body.")
    domain: FieldText = None
    date: FieldText = Field(None, description="MM-DD-YYYY, YYYY-MM-DD, or in words.")
    authors: FieldText = None
    title: FieldText = None
    article: FieldText = None
    summary: FieldText = None
    top_p: float = Field(0.95, gt=0, le=1)
    temperature: float = Field(1.0, ge=0, le=100)
    top_k: int = Field(0, ge=0, lt=2**31)
    seed: int | None = Field(None, ge=0, lt=2**63, description="Decides every random choice; a random one if absent.")
    max_tokens: int | None = Field(
        None, ge=1, description="Tokens at most; a body may else go on to the window's end, other fields have theirs."
    )
    stream: bool = False

    def texts(self) -> dict[str, str]:
        """Return the fields that are there."""
        names: tuple[FieldName, ...] = ("domain", "date", "authors", "title", "article", "summary")
        return {name: text for name in names if (text := (getattr(self, name) or "").strip())}


# ---- answers -------------------------------------------------------------------------------------------------


class HeldOut(BaseModel):
    """How the detector did on texts of about so many words that it had not learnt from.

    share_of_machine_texts: of the `texts` that it gave about this probability, how many were machine-written; null
    where there were too few.
    """

    words: int
    auroc: float
    tpr_at_1_percent_fpr: float
    share_of_machine_texts: float | None
    texts: int


class Method(BaseModel):
    """A measurement; where human texts of this length are known, its place among them (0 to 1) and the two-sided
    probability of one so far out."""

    value: float | None
    human_percentile: float | None = None
    two_sided: float | None = None


class DetectorName(BaseModel):
    """What a detector is called and what it was trained on, by name."""

    name: str
    trained: dict[str, Any]


class AboutText(BaseModel):
    """What is said of a text: no verdict at all where its model has no detector."""

    name: str
    words: int
    tokens: int
    verdict: Literal["machine", "human", "unsure", "too short", "unlike"] | None
    probability: float | None
    sentence: str | None = None
    held_out: HeldOut | None = None
    rank_shares: list[float]
    methods: dict[str, Method]
    detector: DetectorName | None


class MeasuredToken(BaseModel):
    """A token's characters and those between it and the one before, its rank (0: the likeliest), its probability, that
    over the likeliest one's, the likeliest five, and the entropy in nats of the ten likeliest."""

    text: str
    before: str
    rank: int | None = None
    p: float | None = None
    share: float | None = None
    top: list[tuple[str, float]] = []
    entropy: float | None = None


class Detected(BaseModel):
    """A text measured. `bounds`: of the ranks, GLTR's. The text is that of all tokens, `before` first, and `after`."""

    model: str
    bounds: list[int]
    about: AboutText
    tokens: list[MeasuredToken]
    after: str


class ArticleModels(BaseModel):
    """The served models that know the fields of articles, and the fields."""

    models: list[str]
    fields: list[FieldName]


class WrittenField(BaseModel):
    """A field. `complete`: whether the model ended it; `cut`: tokens of the other fields that did not fit."""

    model: str
    target: FieldName
    text: str
    complete: bool
    cut: int
    seed: int
