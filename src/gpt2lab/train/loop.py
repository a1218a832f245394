"""The one training loop: batches in, a trained model and its curve out.

Knows a model, a corpus of token ids and a recipe; evaluation of text, sampling and reports come as callbacks. Between
two steps the whole run is a `RunState`, so stopping and resuming changes no bit of what a CPU computes.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpt2lab.config import to_dict
from gpt2lab.data import Batches, Corpus, spread_windows
from gpt2lab.errors import ConfigError, Gpt2labError
from gpt2lab.model.config import GPT2Config
from gpt2lab.model.gpt import GPT
from gpt2lab.train.log import MetricsLog, Progress, clock
from gpt2lab.train.loss import cross_entropy_sum
from gpt2lab.train.optim import build_optimizers
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.schedule import rate_share, run_share
from gpt2lab.train.state import FILE as STATE_FILE
from gpt2lab.train.state import RunState, load_state, save_state

Callback = Callable[[GPT, int], Mapping[str, float]]
"""Called with the model and the step after every validation; what it returns joins the metrics."""


class Trainer:
    """A run between two steps. `fit` brings it to its end; `resume` takes up the state in the recipe's folder."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        callbacks: Sequence[Callback] = (),
        progress: Progress | None = None,
        resume: bool = False,
    ) -> None:
        self.recipe, self._callbacks = recipe, callbacks
        self._progress = progress or Progress()
        self.folder = Path(recipe.out)
        self.corpus = Corpus(recipe.data)
        manifest, loop = self.corpus.manifest, recipe.train
        self.config = recipe.model.config(vocab_size=manifest.vocab_size, end_of_text_id=manifest.end_of_text_id)
        if loop.threads is not None:
            torch.set_num_threads(loop.threads)
        torch.manual_seed(loop.seed)
        self._device = _usable_device(loop.device)
        self.model = GPT(self.config).to(self._device)
        self.optimizers = build_optimizers(self.model, recipe.optimizer)
        window = self.config.n_positions
        self._batches = Batches(self.corpus.train, rows=loop.batch_size, window=window, seed=loop.seed)
        self._held_out = spread_windows(self.corpus.validation, count=loop.validation_windows, window=window)
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self.bits_per_byte: float | None = None
        if resume:
            self._restore(load_state(self.folder))
        elif (self.folder / STATE_FILE).exists():
            raise ConfigError(f"{self.folder} holds a run already: resume it, remove it, or set out to another folder.")
        self._log = MetricsLog(self.folder, step=self.step)

    @property
    def share(self) -> float:
        """How much of the run is over, 0 to 1."""
        return run_share(self.recipe.train, self.step, self.seconds)

    def fit(self) -> None:
        """Train to the end of the run, validating and saving on the way.

        Raises `KeyboardInterrupt` after saving when asked to stop, and `Gpt2labError` when the loss is no number any
        more; the last saved state stays as it was then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._progress.line(self._opening())
        began = saved = time.monotonic()
        before = self.seconds
        with _stop_request() as stop:
            while self.share < 1:
                loss = self.train_step()
                self.seconds = before + time.monotonic() - began  # validating and saving are counted too
                self._progress.update(self._line(loss))
                if self.step % self.recipe.train.validate_every == 0 or self.share >= 1:
                    self._measure(loss)
                if time.monotonic() - saved >= 60 * self.recipe.train.checkpoint_minutes or self.share >= 1:
                    self.save()
                    saved = time.monotonic()
                if stop.is_set():
                    path = self.save()
                    self._progress.line(
                        f"Stopped at step {self.step}; saved to {path}. Go on with: --resume {self.folder}"
                    )
                    raise KeyboardInterrupt
        self.save()

    def train_step(self) -> float:
        """Do one optimizer step and return its mean training loss in nats per token."""
        loop = self.recipe.train
        rate = rate_share(self.recipe.schedule, self.step, self.share)
        count = loop.batch_size * loop.accumulate * self.config.n_positions
        self.model.train()
        total = 0.0
        for _ in range(loop.accumulate):
            loss = self._loss_sum(*self._tensors(*next(self._batches))) / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
        if not (math.isfinite(total) and math.isfinite(norm.item())):
            raise Gpt2labError(
                f"The loss became {total} at step {self.step} and training stopped; what was saved in {self.folder} "
                "before stays. Lower optimizer.lr or lengthen schedule.warmup_steps."
            )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += count
        return total

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Return the held-out loss in nats per token and in bits per byte of text."""
        self.model.eval()
        inputs, targets = self._held_out
        rows, nats = self.recipe.train.batch_size, 0.0
        for start in range(0, len(inputs), rows):
            nats += self._loss_sum(*self._tensors(inputs[start : start + rows], targets[start : start + rows])).item()
        text_bytes = int(self.corpus.token_bytes[targets].sum())
        return nats / targets.size, nats / math.log(2) / text_bytes

    def save(self) -> Path:
        """Write the state of the run into its folder; return the file."""
        return save_state(
            self.folder,
            RunState(
                recipe=to_dict(self.recipe),
                config=to_dict(self.config),
                tokenizer_sha256=self.corpus.manifest.tokenizer_sha256,
                step=self.step,
                seconds=self.seconds,
                tokens=self.tokens,
                model=self.model.state_dict(),
                optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
                data=self._batches.state_dict(),
                random=torch.get_rng_state(),
                bits_per_byte=self.bits_per_byte,
            ),
        )

    def _restore(self, state: RunState) -> None:
        if GPT2Config(**state.config) != self.config:
            raise ConfigError(
                f"The run in {self.folder} has another model shape than this recipe; resume with its own."
            )
        if state.tokenizer_sha256 != self.corpus.manifest.tokenizer_sha256:
            raise ConfigError(f"The run in {self.folder} had another vocabulary than that of {self.recipe.data}.")
        if len(state.optimizers) != len(self.optimizers):
            raise ConfigError(f"The run in {self.folder} used another optimizer than this recipe; resume with its own.")
        self.model.load_state_dict(state.model)
        for optimizer, saved in zip(self.optimizers, state.optimizers, strict=True):
            peaks = [group["peak_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak_lr"] = peak  # the recipe in hand rules: a resumed run may be given another rate
        self._batches.load_state_dict(state.data)
        torch.set_rng_state(state.random)
        self.step, self.seconds, self.tokens = state.step, state.seconds, state.tokens
        self.bits_per_byte = state.bits_per_byte

    def _tensors(self, *arrays: npt.NDArray[np.int64]) -> list[Tensor]:
        return [torch.from_numpy(array).to(self._device) for array in arrays]

    def _loss_sum(self, inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = self.model.hidden(inputs)  # (B, T, C)
        return cross_entropy_sum(hidden.flatten(0, 1), self.model.head_weight, targets.flatten())

    def _measure(self, loss: float) -> None:
        nats, self.bits_per_byte = self.validate()
        record = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
            "lr": self.optimizers[-1].param_groups[0]["lr"],
            "train_loss": loss,
            "validation_loss": nats,
            "bits_per_byte": self.bits_per_byte,
        }
        for callback in self._callbacks:
            record.update(callback(self.model, self.step))
        self._log.add(record)
        self._progress.line(f"{self._line(loss)}  held out {nats:.4f} nats/token, {self.bits_per_byte:.4f} bits/byte")

    def _opening(self) -> str:
        count = sum(p.numel() for p in self.model.parameters())
        return (
            f"{self.recipe.name}: {count:,} parameters, {self.corpus.manifest.train.tokens:,} tokens to train on, "
            f"from step {self.step}"
        )

    def _line(self, loss: float) -> str:
        rate = self.tokens / self.seconds if self.seconds else 0.0
        left = self.seconds * (1 - self.share) / self.share if self.share else 0.0
        return f"step {self.step}  loss {loss:.4f}  {rate:,.0f} tokens/s  {clock(left)} left"


def _usable_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either for hardware that is not there
        why = str(error).partition("\n")[0].rstrip(".")
        raise ConfigError(f"train.device = {name!r} cannot be used here: {why}. 'cpu' always can.") from None
    return device


@contextlib.contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C (or polite kill) into a flag, looked at between two steps; the second acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        for again, handler in before.items():
            signal.signal(again, handler)

    try:
        for number in before:
            signal.signal(number, ask)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
