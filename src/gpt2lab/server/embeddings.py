"""/v1/embeddings: texts as vectors, the mean of the last layer's hidden states at length 1.

The API is OpenAI's "Create embeddings"; the vectors point where `LanguageModel.features` does.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import anyio
import numpy as np

from gpt2lab.engine.protocol import Floats
from gpt2lab.engine.score import hidden_pieces
from gpt2lab.server.failures import ApiError
from gpt2lab.server.models import LoadedModel
from gpt2lab.server.prompts import Prompt, read_prompts
from gpt2lab.server.schemas import EmbeddingRequest
from gpt2lab.server.settings import ServerSettings


async def embed(request: EmbeddingRequest, model: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
    """Return the answer of /v1/embeddings; raises `ApiError`, `RequestError` and `TimeoutError`."""
    width = model.lm.config.n_embd
    if request.dimensions is not None and request.dimensions > width:
        raise ApiError(
            400, f"dimensions = {request.dimensions} is more than this model's {width}.", param="dimensions",
            code="invalid_value",
        )  # fmt: skip
    if isinstance(request.input, list) and not isinstance(request.input[0], int):
        _check_count(len(request.input), settings.max_sequences)
    prompts = await read_prompts(model, request.input, settings.max_prompt_tokens)
    data = []
    with anyio.fail_after(settings.request_seconds):
        for i, prompt in enumerate(prompts):
            vector = await _vector(model, prompt, request.dimensions)
            coded: Any = vector.tolist()
            if request.encoding_format == "base64":
                coded = base64.b64encode(vector.astype("<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": i, "embedding": coded})
    total = sum(len(prompt.ids) for prompt in prompts)
    usage = {"prompt_tokens": total, "total_tokens": total}
    return {"object": "list", "model": model.name, "data": data, "usage": usage}


async def _vector(model: LoadedModel, prompt: Prompt, dimensions: int | None) -> Floats:
    work = hidden_pieces(model.lm.backend, prompt.ids, model.lm.config.n_layer)
    states = await asyncio.wrap_future(model.scheduler.run(work))
    mean = states.mean(axis=0, dtype=np.float64)[:dimensions]
    vector: Floats = (mean / (np.linalg.norm(mean) or 1.0)).astype(np.float32)
    return vector


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise ApiError(
            400, f"The input has {count} texts; at most {most} are allowed in a request.", param="input",
            code="too_many_texts",
        )  # fmt: skip
