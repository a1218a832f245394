"""Folders of transformers' GPT-2 with a head: for classes, values, choices, tags of tokens and spans, read and written.

Knows names, shapes and config.json, not what a head is for. Source: transformers, modeling_gpt2.py
(GPT2ForSequenceClassification, GPT2DoubleHeadsModel, GPT2ForTokenClassification, GPT2ForQuestionAnswering).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gpt2lab.checkpoint.hf import (
    CHOICE,
    CONFIG,
    SCORE,
    SPAN,
    TAGS,
    canonical,
    find_tokenizer,
    json_object,
    read_config,
    save_hf,
    stored_tensors,
)
from gpt2lab.checkpoint.tensors import HEAD, Array, Checkpoint, Stored, fit
from gpt2lab.errors import CheckpointError
from gpt2lab.model.config import GPT2Config

if TYPE_CHECKING:
    from gpt2lab.tokenizer import Tokenizer

HeadKind = Literal["classes", "value", "choice", "tags", "span"]
"""What a head says: a class or a value of the last token, a value to choose by, a class of every token, two ends."""


@dataclass(frozen=True, slots=True)
class HeadClass:
    """A class of transformers: its name, and what its head's tensors are called (no bias: it has none)."""

    name: str
    weight: str
    bias: str | None


_SEQUENCE = HeadClass("GPT2ForSequenceClassification", SCORE, None)

CLASSES: dict[HeadKind, HeadClass] = {
    "classes": _SEQUENCE,
    "value": _SEQUENCE,
    "choice": HeadClass("GPT2DoubleHeadsModel", CHOICE, "multiple_choice_head.summary.bias"),
    "tags": HeadClass("GPT2ForTokenClassification", TAGS, "classifier.bias"),
    "span": HeadClass("GPT2ForQuestionAnswering", SPAN, "qa_outputs.bias"),
}


@dataclass(frozen=True, eq=False)
class Head:
    """A head as it lies on disk: its weight (K, C), its bias (K,) where it has one, and the names of its K outputs."""

    kind: HeadKind
    weight: Array
    bias: Array | None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.bias is not None) != (CLASSES[self.kind].bias is not None):
            raise CheckpointError(
                f"The head of {CLASSES[self.kind].name} has {'no' if self.bias is not None else 'a'} bias."
            )

    def logits(self, states: Array) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the logits (…, K) of hidden states (…, C), computed in float64."""
        made = states.astype(np.float64) @ self.weight.astype(np.float64).T
        return made if self.bias is None else made + self.bias


def holds_head(folder: str | Path) -> bool:
    """Tell whether a folder is one of a GPT-2 with a head, by its config.json."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        return False
    return any(c.name in _architectures(json_object(path)) for c in CLASSES.values())


def load_with_head(folder: str | Path) -> tuple[Checkpoint, Head]:
    """Read a folder of a GPT-2 with a head as the model below and the head.

    Raises `CheckpointError` for a folder that has none, and what `load_hf` raises.
    """
    folder = Path(folder)
    values = json_object(folder / CONFIG)
    kind = _kind(values, folder)
    names = CLASSES[kind]
    weights, stored, identity = stored_tensors(folder)
    head = {name: stored.pop(name) for name in (names.weight, names.bias) if name is not None and name in stored}
    for name in (names.weight, names.bias):
        if name is not None and name not in head:
            raise CheckpointError(f"{weights} has no tensor {name!r}, which a {names.name} needs.")
    config = read_config(folder / CONFIG)
    body = canonical(stored)
    if HEAD not in body:  # these classes have no head of tokens: the embeddings serve
        config = dataclasses.replace(config, tie_word_embeddings=True)
    config, tensors = fit(config, body, str(weights))
    labels = _labels(values, kind)
    found = _head(kind, head, labels, config, weights)
    source = f"Hugging Face folder {folder} ({names.name})"
    base = Checkpoint(
        config=config, tensors=tensors, tokenizer=find_tokenizer(folder), source=source, path=folder, identity=identity
    )
    return base, found


def save_with_head(
    folder: str | Path,
    config: GPT2Config,
    tensors: Mapping[str, Any],
    head: Head,
    tokenizer: Tokenizer | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a folder that transformers loads as the class of `head`: whole, or not at all.

    `tensors` are those of the GPT-2 below by `config.tensor_shapes()`. An untied head of tokens is kept only where the
    class has one. Raises what `save_hf` raises.
    """
    names = CLASSES[head.kind]
    extra = {names.weight: head.weight}
    if names.bias is not None:
        assert head.bias is not None
        extra[names.bias] = head.bias
    if head.kind != "choice" and not config.tie_word_embeddings:
        config = dataclasses.replace(config, tie_word_embeddings=True)
        tensors = {name: tensor for name, tensor in tensors.items() if name != HEAD}
    if config.pad_token_id is None:  # transformers wants one for batches; what stands behind the end counts nothing
        config = dataclasses.replace(config, pad_token_id=config.eos_token_id)
    return save_hf(
        folder, config, tensors, tokenizer, overwrite=overwrite, extra=extra, settings=_settings(head)
    )  # fmt: skip


def _settings(head: Head) -> dict[str, Any]:
    """Return what config.json says of the head."""
    made: dict[str, Any] = {"architectures": [CLASSES[head.kind].name]}
    if head.kind == "choice":
        return {
            **made, "summary_type": "cls_index", "summary_use_proj": True, "summary_proj_to_labels": True,
            "summary_activation": None,
        }  # fmt: skip
    labels = head.labels or _default_labels(len(head.weight))
    made |= {"id2label": {str(i): name for i, name in enumerate(labels)}}
    made |= {"label2id": {name: i for i, name in enumerate(labels)}}
    if head.kind in ("classes", "value"):
        made["problem_type"] = "regression" if head.kind == "value" else "single_label_classification"
    return made


def _architectures(values: Mapping[str, Any]) -> list[Any]:
    named = values.get("architectures")
    return named if isinstance(named, list) else []


def _kind(values: Mapping[str, Any], folder: Path) -> HeadKind:
    named = _architectures(values)
    for kind, names in CLASSES.items():
        if names.name in named:
            regression = values.get("problem_type") == "regression"
            return "value" if kind == "classes" and regression else kind
    known = ", ".join(dict.fromkeys(c.name for c in CLASSES.values()))
    raise CheckpointError(
        f"{folder} holds no model with a head: its {CONFIG} names {', '.join(map(str, named)) or 'no class'}, not one "
        f"of {known}. Train one with gpt2lab transfer train."
    )


def _labels(values: Mapping[str, Any], kind: HeadKind) -> tuple[str, ...]:
    named = values.get("id2label")
    if kind not in ("classes", "tags") or not isinstance(named, Mapping):
        return ()
    try:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    except (TypeError, ValueError):
        raise CheckpointError(f"{CONFIG} has a damaged id2label: its keys must be numbers.") from None


def _head(
    kind: HeadKind, found: Mapping[str, Stored], labels: tuple[str, ...], config: GPT2Config, where: Path
) -> Head:
    names = CLASSES[kind]
    weight = found[names.weight].read()
    bias = None if names.bias is None else found[names.bias].read()
    rows = {"value": 1, "choice": 1, "span": 2}.get(kind) or len(labels) or len(weight)
    if weight.shape != (rows, config.n_embd) or (bias is not None and bias.shape != (rows,)):
        raise CheckpointError(
            f"{where} has a head of shape {weight.shape}; its configuration wants {(rows, config.n_embd)}."
        )
    named = kind in ("classes", "tags")
    return Head(kind, weight, bias, labels or _default_labels(rows) if named else ())


def _default_labels(count: int) -> tuple[str, ...]:
    """Return what transformers calls classes without names."""
    return tuple(f"LABEL_{i}" for i in range(count))
