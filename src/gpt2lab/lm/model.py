"""LanguageModel: load any GPT-2, then write, stream, score, look ahead and take features, all in text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from gpt2lab import checkpoint
from gpt2lab.engine.generate import Batch
from gpt2lab.engine.jobs import Job, Output, check_prompt
from gpt2lab.engine.loading import load_backend
from gpt2lab.engine.packed import default_cache
from gpt2lab.engine.params import SamplingParams, check_names, check_whole
from gpt2lab.engine.prefix import PrefixCache
from gpt2lab.engine.protocol import Backend, Ids
from gpt2lab.engine.score import drained, hidden_pieces, most_likely, next_logits, score_ids
from gpt2lab.errors import CheckpointError, RequestError
from gpt2lab.lm.inspection import Inspection, inspection_pieces
from gpt2lab.lm.options import default_params, warn_of_trailing_space, with_length
from gpt2lab.lm.pooling import Pooling, check_pooling, pooled
from gpt2lab.lm.results import Generation, Score
from gpt2lab.lm.seeds import next_seed
from gpt2lab.lm.stopping import TextStream
from gpt2lab.model.config import GPT2Config
from gpt2lab.tokenizer import Tokenizer


class LanguageModel:
    """A GPT-2 and its tokenizer. `load` makes one."""

    def __init__(
        self,
        backend: Backend,
        tokenizer: Tokenizer | None,
        *,
        generation: Mapping[str, Any] | None = None,
        source: str = "",
        prefixes: PrefixCache | None = None,
        tensors: Mapping[str, npt.NDArray[np.float32]] | None = None,
    ) -> None:
        self.backend, self.tokenizer, self.source, self.prefixes = backend, tokenizer, source, prefixes
        self.tensors = tensors
        self._defaults = default_params(generation or {}, backend.config, tokenizer)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "tiny",
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int | None = None,
        models_dir: str | Path | None = None,
        offline: bool = False,
        prefix_bytes: int = 0,
        packed_cache: bool = True,
        progress: Callable[[int, int], None] | None = None,
        packing: Callable[[int, int], None] | None = None,
    ) -> LanguageModel:
        """Load a model by name ("tiny", "gpt2", "124M" …), hub id, or path of a folder or .gguf file.

        precision: "fp32" (equal to transformers), "bf16", "int8" or "int4" (ever smaller and faster), or "auto" (int8;
        docs/decisions/0004-precision.md says what each costs). device: "cpu" for the native engine, else a torch
        device; a model with local or compressed attention is torch's on "cpu" too. prefix_bytes: memory for what was
        computed of earlier texts, so that a text that begins like one of them costs only what is new in it; it changes
        no token. packed_cache: keep a large model's packed weights on the disk (docs/formats.md) and map them at the
        next start. progress, packing: called with (done, total) bytes while it is fetched, packed.
        Raises `CheckpointError`, `DownloadError`, `ConfigError`, `RequestError` or `MissingExtraError`.
        """
        check_whole("prefix_bytes", prefix_bytes, 0)
        found = checkpoint.load(
            name_or_path, models_dir=Path(models_dir) if models_dir else None, offline=offline, progress=progress
        )
        backend = load_backend(
            found, device=device, precision=precision, threads=threads,
            cache=default_cache() if packed_cache else None, progress=packing,
        )  # fmt: skip
        return cls(
            backend, found.tokenizer, generation=found.generation, source=found.source, tensors=found.tensors,
            prefixes=PrefixCache(prefix_bytes) if prefix_bytes else None,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"LanguageModel({self.source}; {self.backend.description})"

    @property
    def config(self) -> GPT2Config:
        """The shape of the model."""
        return self.backend.config

    @property
    def defaults(self) -> SamplingParams:
        """What `generate` uses for options that are not given."""
        return self._defaults

    # ---- writing ---------------------------------------------------------------------------------------------

    @overload
    def generate(
        self, prompt: str | None = None, *, token_ids: Sequence[int] | None = None, **options: Any
    ) -> list[Generation]: ...
    @overload
    def generate(
        self, prompt: Sequence[str], *, token_ids: Sequence[Sequence[int]] | None = None, **options: Any
    ) -> list[list[Generation]]: ...
    def generate(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        token_ids: Sequence[Any] | None = None,
        num_return_sequences: int = 1,
        first_sample: int = 0,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        include_stop: bool = False,
        bad_words: Sequence[str] = (),
        max_length: int | None = None,
        batch_size: int | None = None,
        progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Any:
        """Continue a prompt, or each of several, or write from nothing when none is given.

        Returns a list of `num_return_sequences` generations for one prompt, and a list of such lists for several.
        `token_ids` gives prompts as ids instead of text. `options` are the fields of `SamplingParams` (max_new_tokens,
        temperature, top_k, top_p, num_beams …); `max_length` bounds prompt and new tokens together. `stop`: the text
        ends before the first of these strings. `bad_words`: texts never generated. `seed` decides every random choice
        (default: random, or from `set_seed`); `first_sample` numbers the first sample's random stream, so that more
        samples can be asked for later. `progress(n)` reports n more tokens. Raises `RequestError`.
        """
        prompts, several = self._prompts(prompt, token_ids)
        warn_of_trailing_space(text for text, _ in prompts)
        stops = [stop] if isinstance(stop, str) else list(stop)
        check_whole("num_return_sequences", num_return_sequences, 1)
        params = self._params(options, seed, bad_words)
        per_prompt = [with_length(params, max_length, options, len(ids)) for _, ids in prompts]
        if params.num_beams > 1:
            from gpt2lab.engine.beam import beam_search

            if stops:
                raise RequestError("Stop strings cannot be used with num_beams > 1; cut the text afterwards.")
            groups = []
            for (text, ids), own in zip(prompts, per_prompt, strict=True):
                outputs = beam_search(self.backend, ids, own, num_return=num_return_sequences)
                groups.append([self._generation(o, text, ids, own.seed, i) for i, o in enumerate(outputs)])
            return groups if several else groups[0]
        samples = range(first_sample, first_sample + num_return_sequences)
        jobs = [Job(ids, own, s) for (_, ids), own in zip(prompts, per_prompt, strict=True) for s in samples]
        made = self._run(jobs, stops, include_stop, batch_size, progress)
        flat = [
            self._generation(o, prompts[i // len(samples)][0], job.prompt, job.params.seed, job.sample, text)
            for i, (job, (o, text)) in enumerate(zip(jobs, made, strict=True))
        ]
        groups = [flat[i : i + len(samples)] for i in range(0, len(flat), len(samples))]
        return groups if several else groups[0]

    def stream(
        self,
        prompt: str | None = None,
        *,
        token_ids: Sequence[int] | None = None,
        sample: int = 0,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        include_stop: bool = False,
        bad_words: Sequence[str] = (),
        max_length: int | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Yield the text of one generation as it is made, whole characters only; the pieces join to `generate`'s text.

        Takes `generate`'s options; `sample` numbers the random stream. Mistakes raise `RequestError` at the call, not
        at the first piece. Needs a tokenizer, and no beams.
        """
        tokenizer = self._need_tokenizer("Streaming text")
        ((words, ids),), _ = self._prompts(prompt, token_ids)
        warn_of_trailing_space([words])
        params = with_length(self._params(options, seed, bad_words), max_length, options, len(ids))
        if params.num_beams > 1:
            raise RequestError(
                "num_beams > 1 cannot be streamed: a beam's text is known only at the end; use generate."
            )
        text = TextStream(tokenizer, [stop] if isinstance(stop, str) else list(stop), include_stop=include_stop)
        batch = Batch(self.backend, [Job(ids, params, sample)], batch_size=1, max_burst=1, prefixes=self.prefixes)
        return _pieces(batch, text)

    def _run(
        self,
        jobs: Sequence[Job],
        stops: Sequence[str],
        include_stop: bool,
        batch_size: int | None,
        progress: Callable[[int], None] | None,
    ) -> list[tuple[Output, TextStream | None]]:
        """Run jobs to their ends; with stop strings each comes with the text that watched for them."""
        batch = Batch(self.backend, jobs, batch_size=batch_size, prefixes=self.prefixes)
        texts: list[TextStream | None] = [None] * len(jobs)
        if stops:
            tokenizer = self._need_tokenizer("A stop string")
            texts = [TextStream(tokenizer, stops, include_stop=include_stop) for _ in jobs]
        for step in batch:
            if progress is not None:
                progress(len(step.ids))
            text = texts[step.job]
            if text is not None:
                text.push(step.ids)
                if step.finish:
                    text.finish()
                elif text.stopped:
                    batch.stop(step.job)
        return [(batch.output(i), texts[i]) for i in range(len(jobs))]

    def _generation(
        self,
        output: Output,
        prompt: str | None,
        prompt_ids: Ids,
        seed: int,
        sample: int,
        text: TextStream | None = None,
    ) -> Generation:
        keep, finish = len(output.ids), output.finish
        if text is not None and text.stopped:
            keep, finish = text.token_count, "stop"
        ids = output.ids[:keep]
        decoded = self.tokenizer.decode(ids) if text is None and self.tokenizer is not None else ""
        return Generation(
            text=text.text if text is not None else decoded,
            token_ids=ids,
            logprobs=output.logprobs[:keep],
            finish_reason=finish,
            prompt=prompt,
            prompt_token_ids=prompt_ids.tolist(),
            seed=seed,
            sample=sample,
            top_logprobs=output.top_logprobs[:keep],
        )

    # ---- reading ---------------------------------------------------------------------------------------------

    def score(
        self,
        text: str | None = None,
        *,
        token_ids: Sequence[int] | None = None,
        bos: bool = True,
        stride: int | None = None,
        top: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Score:
        """Measure every token of a text: log-probability, rank and entropy, and with `top` the likeliest tokens.

        With `bos` the text is read after <|endoftext|>, so that its first token is scored too. A text longer than the
        window is read in windows that move by `stride` tokens (default: half a window). Raises `RequestError`.
        """
        offsets: list[tuple[int, int]] = []
        if token_ids is not None:
            ids = check_prompt(token_ids, self.config.vocab_size)
            text = self.tokenizer.decode(ids.tolist()) if self.tokenizer is not None else ""
        else:
            if not text:
                raise RequestError("There is no text to score; give at least one character.")
            whole = self._need_tokenizer("Text").encode_with_offsets(text)
            ids = check_prompt(whole.ids, self.config.vocab_size)
            offsets = [(int(a), int(b)) for a, b in whole.char_spans]
        scores = score_ids(
            self.backend, ids, context=self.bos_id() if bos else None, stride=stride, top=top, progress=progress
        )
        listed = ids.tolist()
        return Score(
            token_ids=listed,
            tokens=self.tokenizer.token_texts(listed) if self.tokenizer is not None else [],
            offsets=offsets,
            logprobs=scores.logprobs,
            ranks=scores.ranks,
            entropies=scores.entropies,
            top_ids=scores.top_ids,
            top_logprobs=scores.top_logprobs,
            words=len(text.split()),
            bytes=len(text.encode("utf-8", errors="replace")),
        )

    def next_tokens(
        self, text: str | None = None, *, k: int = 10, token_ids: Sequence[int] | None = None
    ) -> list[tuple[int, str, float]]:
        """Return the k likeliest next tokens as (token id, text, probability), highest first."""
        ((_, ids),), _ = self._prompts(text, token_ids)
        best = most_likely(next_logits(self.backend, ids, self.prefixes), k)
        return [(i, self.tokenizer.token_text(i) if self.tokenizer else "", p) for i, p in best]

    def features(
        self,
        text: str | None = None,
        *,
        layer: int = -1,
        pooling: Pooling = "mean",
        token_ids: Sequence[int] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return hidden states of a text: (n_embd,) as `pooling` says (lm/pooling.py), (n, n_embd) with "none".

        `layer` counts as transformers' hidden_states do: 0 the embeddings, i the output of block i, -1 or n_layer the
        last one after the final layer norm. A text longer than the window is read in windows that overlap by half.
        """
        n_layer = self.config.n_layer
        if isinstance(layer, bool) or not isinstance(layer, int) or not -n_layer - 1 <= layer <= n_layer:
            raise RequestError(f"layer = {layer!r} must be a whole number from {-n_layer - 1} to {n_layer}.")
        check_pooling(pooling)
        ((_, ids),), _ = self._prompts(text, token_ids)
        return pooled(drained(hidden_pieces(self.backend, ids, layer % (n_layer + 1))), pooling)

    def inspect(
        self, text: str | None = None, *, token_ids: Sequence[int] | None = None, bos: bool = True, top: int = 5
    ) -> Inspection:
        """Return the attention of every head and what each layer would say (the logit lens) of a text of one window."""
        ((_, ids),), _ = self._prompts(text, token_ids)
        whole = np.concatenate([np.asarray([self.bos_id()], np.int32), ids]) if bos else ids
        made = inspection_pieces(self.backend, self.tokenizer, whole, begins=bos, top=top, tensors=self.tensors)
        return drained(made)

    # ---- prompts and parameters ------------------------------------------------------------------------------

    def _need_tokenizer(self, what: str) -> Tokenizer:
        if self.tokenizer is None:
            raise CheckpointError(f"{what} needs a tokenizer, but {self.source} has none; give token ids instead.")
        return self.tokenizer

    def bos_id(self) -> int:
        """Return the id that begins a text, GPT-2's <|endoftext|>; a model without one is a `RequestError`."""
        candidates = (self.config.bos_token_id, self.tokenizer.bos_id if self.tokenizer else None)
        for token in (*candidates, self.config.eos_token_id):
            if token is not None and 0 <= token < self.config.vocab_size:
                return token
        raise RequestError("This model has no token that begins a text; give a prompt (or score with bos=False).")

    def _prompts(
        self, prompt: str | Sequence[str] | None, token_ids: Sequence[Any] | None
    ) -> tuple[list[tuple[str | None, Ids]], bool]:
        """Return [(text, ids), …] and whether several prompts were given."""
        vocab = self.config.vocab_size
        if token_ids is not None:
            if prompt is not None:
                raise RequestError("Give the prompt as text or as token_ids, not both.")
            several = len(token_ids) > 0 and isinstance(token_ids[0], (list, tuple, np.ndarray))
            return [(None, check_prompt(ids, vocab)) for ids in (token_ids if several else [token_ids])], several
        if prompt is None:
            return [(None, check_prompt([self.bos_id()], vocab))], False
        several = not isinstance(prompt, str)
        texts: list[str] = [prompt] if isinstance(prompt, str) else list(prompt)
        if not texts:
            raise RequestError("The list of prompts is empty; give at least one.")
        for text in texts:
            if not isinstance(text, str):
                raise RequestError(f"A prompt must be text, not {type(text).__name__}; for token ids use token_ids=.")
            if not text:
                raise RequestError("The prompt is empty; give some text, or no prompt at all to begin a new one.")
        encoded = self._need_tokenizer("A text prompt").encode_batch(texts)
        return [(text, check_prompt(ids, vocab)) for text, ids in zip(texts, encoded, strict=True)], several

    def _params(self, options: Mapping[str, Any], seed: int | None, bad_words: Sequence[str]) -> SamplingParams:
        check_names(options, [*SamplingParams.names(), *_GENERATE_OPTIONS])
        values = {**options, "seed": next_seed() if seed is None else seed}
        if isinstance(bad_words, str):
            raise RequestError("bad_words must be a list of texts, not one text.")
        if bad_words:
            tokenizer = self._need_tokenizer("bad_words")
            # a word reads differently after a space
            forms = [form for word in bad_words for form in (word, " " + word)]
            values["bad_words_ids"] = [*values.get("bad_words_ids", ()), *(tokenizer.encode(f) for f in forms)]
        if values.get("stop_ids", self._defaults.stop_ids) is None:
            values["stop_ids"] = self._defaults.stop_ids
        params = self._defaults.replaced(values)
        params.check_ids(self.config.vocab_size)
        return params


_GENERATE_OPTIONS = ("num_return_sequences", "stop", "include_stop", "bad_words", "max_length", "batch_size")


def _pieces(batch: Batch, text: TextStream) -> Iterator[str]:
    for step in batch:
        if piece := text.push(step.ids):
            yield piece
        if text.stopped and not step.finish:
            batch.stop(0)
    if rest := text.finish():
        yield rest
