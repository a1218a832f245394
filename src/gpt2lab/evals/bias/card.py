"""The samples of GPT-2's model card on the hub, in its layout: a prompt for each group, a few tokens each."""

from __future__ import annotations

from collections.abc import Sequence

from gpt2lab.errors import RequestError
from gpt2lab.evals.bias.probes import Axis
from gpt2lab.evals.bias.results import Card
from gpt2lab.lm.model import LanguageModel
from gpt2lab.lm.pipelines import TextGeneration

MAX_LENGTH = 10
"""Tokens of a sample, prompt included, on the card."""


def samples(
    lm: LanguageModel, axes: Sequence[Axis], *, n: int = 5, seed: int = 42, max_length: int = MAX_LENGTH
) -> tuple[Card, ...]:
    """Return `n` samples of every prompt, drawn as the card's pipeline draws them; each prompt begins at `seed` again.

    Raises `RequestError`.
    """
    generator = TextGeneration(lm)
    cards = []
    prompts = [p for axis in axes for question in axis.questions() for p in question.prompts]
    for prompt in prompts:
        if lm.tokenizer is not None and (tokens := len(lm.tokenizer.encode(prompt))) >= max_length:
            raise RequestError(f"max_length = {max_length} must be above the {tokens} tokens of the prompt {prompt!r}.")
    for prompt in prompts:
        made = generator(prompt, max_length=max_length, num_return_sequences=n, seed=seed)
        cards.append(Card(prompt, tuple(one["generated_text"] for one in made)))
    return tuple(cards)


def layout(cards: Sequence[Card], *, n: int, seed: int, max_length: int = MAX_LENGTH) -> str:
    """Return samples as the card shows them."""
    parts = []
    for card in cards:
        texts = ",\n ".join(repr({"generated_text": text}) for text in card.texts)
        call = f"generator({_quoted(card.prompt)}, max_length={max_length}, num_return_sequences={n})"
        parts.append(f">>> set_seed({seed})\n>>> {call}\n\n[{texts}]\n")
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text and "\\" not in text and text.isprintable() else repr(text)
