"""The one training loop: batches in, a trained model and its curve out.

Knows a task, a model and a recipe; evaluation of text, sampling and reports come as callbacks. Between two steps the
whole run is a `RunState` and named tensors, so stopping and resuming changes no bit of what a CPU computes. The
arithmetic of a step is train/learner.py, the files are train/state.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from gpt2lab.config import from_dict, to_dict
from gpt2lab.errors import ConfigError, Gpt2labError
from gpt2lab.model.config import GPT2Config
from gpt2lab.train import legacy
from gpt2lab.train.guard import DivergenceGuard
from gpt2lab.train.learner import Learner
from gpt2lab.train.log import Progress, clock
from gpt2lab.train.memory import advice, available, estimate, steady_memory
from gpt2lab.train.optim import blank_state, named_state
from gpt2lab.train.origin import goes_on_by, kind_of
from gpt2lab.train.parallel import Processes
from gpt2lab.train.recipe import Recipe
from gpt2lab.train.records import Records
from gpt2lab.train.schedule import rate_share, run_share
from gpt2lab.train.state import (
    BEST,
    CHECKPOINTS,
    RunState,
    find_state,
    read_state,
    read_tensors,
    steps,
    tensor_shapes,
    write_state,
)
from gpt2lab.train.stopping import stop_request
from gpt2lab.train.task import Task, longest_row

Callback = Callable[[nn.Module, int], Mapping[str, float]]
"""Called with the model and the step; what it returns joins the metrics. What it raises is told and passed over."""

_HINT = "Lower the learning rate or lengthen the warm-up."

MOST_ROLLBACKS = 3
"""How often a run that diverges is taken back before it ends."""


@dataclass(frozen=True, slots=True)
class Every:
    """A callback for every `steps`-th step, where a plain one is called after each validation."""

    steps: int
    callback: Callback


class Divergence(Gpt2labError):
    """A step's loss or gradients are such that it must not be done."""


class Trainer:
    """A run between two steps. `fit` brings it to its end.

    `resume`, a run's folder or one of its checkpoints, is taken up; without it the recipe's `out` must hold no run yet.
    Every process of a distributed run makes a Trainer of the same arguments.
    """

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        model: nn.Module,
        *,
        callbacks: Sequence[Callback | Every] = (),
        progress: Progress | None = None,
        resume: str | Path | None = None,
    ) -> None:
        self.recipe, self.task, self._callbacks = recipe, task, list(callbacks)
        self.folder = Path(recipe.out)
        self.processes = Processes(recipe.train.device, recipe.train.parallel)
        self._progress = progress or Progress(shown=self.processes.is_main)
        self.learner = Learner(task, model, recipe, self.processes)
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self.loss = float("nan")
        self.metrics: dict[str, float] = {}
        self._best: float | None = None
        self._stale, self._rollbacks = 0, 0
        self._guard = DivergenceGuard(recipe.train.spike)
        self._saved: tuple[int, float] | None = None  # step and seconds of the last state on disk
        if resume is not None:
            legacy.convert(resume, self.processes)
            self._restore(find_state(resume))
        elif steps(self.folder / CHECKPOINTS) or (self.folder / legacy.FILE).exists():
            raise ConfigError(f"{self.folder} holds a run already: resume it, remove it, or set out to another folder.")
        self._records: Records | None = None

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        return self.learner.model

    @property
    def share(self) -> float:
        """How much of the run is over, 0 to 1."""
        return run_share(self.recipe.train, self.step, self.seconds)

    @property
    def over(self) -> bool:
        """Whether the run is at its end: by steps, by time, or because it does not get better any more."""
        patience = self.recipe.train.patience
        return self.share >= 1 or (patience is not None and self._stale >= patience)

    @property
    def bits_per_byte(self) -> float | None:
        """The last validation's loss per byte of text, for tasks that say it."""
        return self.metrics.get("bits_per_byte")

    def add(self, callback: Callback | Every) -> None:
        """Have one more callback, which may know this run."""
        self._callbacks.append(callback)

    def tell(self, text: str) -> None:
        """Show lines that stay, in the process that speaks."""
        self._progress.line(text)

    def fit(self) -> None:
        """Train to the end of the run, validating and saving on the way.

        Raises `KeyboardInterrupt` after saving when asked to stop, and `Gpt2labError` when the run diverges for good
        or its end cannot be saved; the last saved state stays as it was then.
        """
        self._open()
        began, before = time.monotonic(), self.seconds
        with stop_request() as stop, steady_memory():
            while not self.over:
                try:
                    loss = self.train_step()
                except Divergence as error:
                    self._roll_back(str(error))
                    continue
                spent = before + time.monotonic() - began  # validating and saving are counted too
                (self.seconds,) = self.processes.total([spent if self.processes.is_main else 0.0])
                self._progress.update(self._line(loss))
                self._after_step(loss)
                if any(self.processes.total([float(stop.is_set())])):
                    path = self.save()
                    self._progress.line(
                        f"Stopped at step {self.step}; saved to {path}. Go on with: "
                        f"{goes_on_by(kind_of(to_dict(self.recipe)), self.folder)}"
                    )
                    raise KeyboardInterrupt
        self.save()

    def close(self) -> None:
        """Leave the group of processes; with a single process nothing happens."""
        if self.processes.opened:
            self.learner.release()
            self.processes.close()

    def train_step(self) -> float:
        """Do one optimizer step and return its mean training loss in nats a target. Raises `Divergence`."""
        rate = rate_share(self.recipe.schedule, self.step, self.share) * 0.5**self._rollbacks
        loss = self.learner.gradients(self.step)
        trouble = self._guard.verdict(loss.mean, loss.norm)
        if trouble:
            self.learner.forget()
            raise Divergence(f"{trouble} at step {self.step}")
        self.learner.update(loss, rate)
        self.step += 1
        self.tokens += round(loss.targets)
        self.loss = loss.mean
        return loss.mean

    def validate(self) -> dict[str, float]:
        """Return the validation's loss in nats a target and what the task makes of it; {} if it has no validation."""
        batches = self.task.validation()
        if not batches:
            return {}
        nats, count = self.learner.evaluate(batches)
        return {"validation_loss": nats / count, **self.task.metrics(nats, count)}

    def save(self) -> Path:
        """Write the state of the run into its folder, unless it is there already, and return where.

        Raises `Gpt2labError` when it cannot be written, and when an update has spoilt the weights: a state that is
        good is never given up for one that is not.
        """
        parent = self.folder / CHECKPOINTS
        if self._saved is None or self._saved[0] != self.step:
            if not self.learner.finite():
                raise Gpt2labError(f"The weights are no numbers any more at step {self.step}; {self._kept()} {_HINT}")
            tensors = self._model_tensors() | {
                f"optimizer/{name}": tensor for name, tensor in named_state(self.model, self.learner.optimizers).items()
            }
            write_state(parent, self._state(), tensors, self.processes, self.recipe.train.max_checkpoints)
            self._saved = (self.step, self.seconds)
        return steps(parent)[-1]

    def _open(self) -> None:
        """Make the run's folder and say what begins."""
        loop, config = self.recipe.train, self.task.config
        count = sum(p.numel() for p in self.model.parameters())
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        need = estimate(
            self.model, config, self.recipe, half=self.learner.precision == "bf16", processes=self.processes.count,
            window=longest_row(self.task.stream),
        )  # fmt: skip
        if self._saved is None:
            self._saved = (-1, self.seconds)
        if self.processes.is_main:
            self._records = Records(self.folder, step=self.step, tensorboard=loop.tensorboard)
            self._records.describe(self.recipe, self.processes, parameters=count, precision=self.learner.precision)
        self._progress.line(
            f"{self.recipe.name}: {count:,} parameters"
            + (f", {trained:,} of them trained" if trained < count else "")
            + f", {loop.batch_size * loop.accumulate} rows a step, {self.learner.precision}, from step {self.step}; "
            + need.sentence()
        )
        if loop.compile and not self.learner.compiled:
            self._progress.line(
                "train.compile needs a C++ compiler (g++ or clang++), which is not here: going on without."
            )
        room = available(self.processes.device)
        if room is not None and (trouble := advice(need, room, self.recipe)):
            self._progress.line(trouble)

    def _after_step(self, loss: float) -> None:
        """Validate, call back and save, whichever is due."""
        loop = self.recipe.train
        validated = self.step % loop.validate_every == 0 or self.share >= 1
        record: dict[str, float] = self._measure(loss) if validated else {}
        for each in self._callbacks:
            due = self.step % each.steps == 0 if isinstance(each, Every) else validated
            if due:
                record |= self._call(each.callback if isinstance(each, Every) else each)
        if record:
            self._record(record)
        assert self._saved is not None
        by_steps = loop.checkpoint_every is not None and self.step % loop.checkpoint_every == 0
        if by_steps or self.seconds - self._saved[1] >= 60 * loop.checkpoint_minutes:
            try:
                self.save()
            except Gpt2labError as error:
                self._progress.line(f"{error} The run goes on and tries again later.")
                self._saved = (self._saved[0], self.seconds)

    def _measure(self, loss: float) -> dict[str, float]:
        """Validate, remember whether it was the best yet, and return what the metrics are to hold."""
        self.metrics = self.validate()
        judged = self.metrics.get("validation_loss")
        if judged is not None:
            if math.isfinite(judged) and (self._best is None or judged < self._best):
                self._best, self._stale = judged, 0
                self._keep_best()
            else:
                self._stale += 1
        told = "  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in self.metrics.items())
        self._progress.line(f"{self._line(loss)}  {told}")
        return {
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
            "lr": self.learner.optimizers[-1].param_groups[0]["lr"],
            "train_loss": loss,
            **self.metrics,
        }

    def _keep_best(self) -> None:
        if self.recipe.train.keep_best:
            try:
                write_state(self.folder / BEST, self._state(), self._model_tensors(), self.processes, keep=1)
            except Gpt2labError as error:
                self._progress.line(str(error))

    def _call(self, callback: Callback) -> Mapping[str, float]:
        """Return what a callback adds to the metrics. With FSDP every process calls it, else the main one alone."""
        if not (self.processes.is_main or self.processes.sharded):
            return {}
        try:
            with self.processes.whole():
                return callback(self.model, self.step)
        except Exception as error:  # whatever somebody else's code makes of it: the run matters more
            self._progress.line(f"A callback failed at step {self.step} and is passed over: {error!r}.")
            return {}

    def _record(self, values: Mapping[str, float]) -> None:
        if self._records is not None:
            try:
                self._records.add({"step": self.step, **values})
            except OSError as error:
                told = f"The metrics of step {self.step} could not be written in {self.folder}"
                self._progress.line(f"{told} ({error.strerror or error}); the run goes on.")

    def _roll_back(self, trouble: str) -> None:
        """Take the run back to its last saved state at half the rate, or end it."""
        saved = steps(self.folder / CHECKPOINTS)
        if self.recipe.train.on_divergence == "stop" or self._rollbacks >= MOST_ROLLBACKS or not saved:
            raise Gpt2labError(f"{trouble} and training stopped; {self._kept()} {_HINT}")
        rollbacks, seconds = self._rollbacks + 1, self.seconds
        self._restore(saved[-1])
        self._rollbacks, self.seconds = rollbacks, seconds
        if self._records is not None:
            self._records = Records(self.folder, step=self.step, tensorboard=self.recipe.train.tensorboard)
        self._progress.line(
            f"{trouble}; back to step {self.step} with {0.5**rollbacks:g} of the learning rate. {_HINT}"
        )

    def _kept(self) -> str:
        if not steps(self.folder / CHECKPOINTS):
            return "nothing had been saved yet."
        return f"what was saved in {self.folder} before stays."

    def _state(self) -> RunState:
        return RunState(
            recipe=to_dict(self.recipe),
            config=to_dict(self.task.config),
            identity=dict(self.task.identity),
            step=self.step,
            seconds=self.seconds,
            tokens=self.tokens,
            data=self.task.stream.state_dict(),
            metrics=self.metrics,
            best=self._best,
            stale=self._stale,
            losses=self._guard.losses,
            rollbacks=self._rollbacks,
        )

    def _model_tensors(self) -> dict[str, Tensor]:
        return {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}

    def _restore(self, folder: Path) -> None:
        """Take up the run as saved in `folder`. Raises `ConfigError` when it is another run than the recipe's."""
        state, shape = read_state(folder), to_dict(self.task.config)
        for name, value in self.task.identity.items():
            if state.identity.get(name) != value:
                what = "vocabulary" if name == "tokenizer_sha256" else name
                raise ConfigError(f"The run in {folder} had another {what} than that of {self.recipe.data}.")
        before = to_dict(from_dict(GPT2Config, state.config))
        if odd := [f"{k} = {before[k]!r}, not {v!r}" for k, v in shape.items() if before[k] != v]:
            raise ConfigError(f"The run in {folder} has another model ({', '.join(odd)}); resume with its own shape.")
        shapes = tensor_shapes(folder)
        saved = {name.removeprefix("optimizer/"): s for name, s in shapes.items() if name.startswith("optimizer/")}
        optimizers = blank_state(self.model, self.learner.optimizers, saved)
        if state.recipe["optimizer"]["name"] != self.recipe.optimizer.name or set(optimizers) != set(saved):
            raise ConfigError(
                f"The run in {folder} used another optimizer than this recipe, or trained other parameters; resume "
                "with its own."
            )
        read_tensors(folder, self._model_tensors() | {f"optimizer/{name}": t for name, t in optimizers.items()})
        self.task.stream.load_state_dict(state.data)
        self.step, self.seconds, self.tokens = state.step, state.seconds, state.tokens
        self.metrics, self._best, self._stale = dict(state.metrics), state.best, state.stale
        self._guard = DivergenceGuard(self.recipe.train.spike, state.losses)
        self._rollbacks = state.rollbacks
        self._saved = (self.step, self.seconds)

    def _line(self, loss: float) -> str:
        rate = self.tokens / self.seconds if self.seconds else 0.0
        left = self.seconds * (1 - self.share) / self.share if self.share else 0.0
        return f"step {self.step}  loss {loss:.4f}  {rate:,.0f} tokens/s  {clock(left)} left"
