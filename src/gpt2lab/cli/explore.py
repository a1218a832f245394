"""`gpt2lab explore`: the next-word explorer in the terminal. Ten likeliest tokens, one of which is chosen, and so on.

After the GPT-2 Explorer (allenai/lm-explorer). What a model expects is the library's (lm/explorer.py); here are the
screen, the keys and the settings.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError, Gpt2labError, RequestError

if TYPE_CHECKING:
    from gpt2lab.engine.params import SamplingParams
    from gpt2lab.lm.explorer import Expectation
    from gpt2lab.lm.model import LanguageModel
    from gpt2lab.server.models import FileLoader

EXAMPLES = examples(
    'gpt2lab explore "Joel is"',
    'gpt2lab explore "Joel is" --top-k 5 --temperature 0.7 --json',
    "printf '1\\n1\\nq\\n' | gpt2lab explore \"The sea\"",
    "printf 'Joel is' | gpt2lab explore - --json",
    "gpt2lab explore --web",
)

HELP = "1-9, 0 (the tenth) choose · u undo · r random · t temperature · k top-k · q quit"
_BAR = 30  # characters that stand for a probability of 1
_DIGITS = 10  # tokens that one key can choose
_PREFIX_BYTES = 2**28  # what was computed, so that choosing and undoing cost one step


def explore(
    text: Annotated[
        str,
        Argument(
            metavar="[TEXT]", help="The text to go on from; none begins a new one, - reads it from stdin, with --json.",
            show_default=False,
        ),
    ] = "",
    model: o.Model = "tiny",
    k: Annotated[int, Option("-k", "--count", metavar="N", help="Tokens shown; digits choose among ten.")] = 10,
    temperature: Annotated[float, Option("--temperature", "-t", metavar="X", help="Divides the logits.")] = 1.0,
    top_k: Annotated[int, Option("--top-k", metavar="N", help="Keep the N likeliest tokens; 0 keeps all.")] = 0,
    top_p: Annotated[float, Option("--top-p", metavar="X", help="Keep the fewest tokens that hold this mass.")] = 1.0,
    seed: Annotated[int | None, Option("--seed", metavar="N", help="Decides what r chooses.")] = None,
    as_json: Annotated[bool, Option("--json", help="Show the next tokens once, as one JSON object.")] = False,
    web: Annotated[bool, Option("--web", help="Open the explorer's page in the browser; Ctrl-C ends it.")] = False,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:  # fmt: skip
    """Choose the next token yourself, among the likeliest.

    Each line has a key, the probability as the model says and, where the settings change it, as they leave it. Keys
    come from the terminal as they are pressed, or from a pipe a line at a time.
    """
    from gpt2lab.cli import console, loading
    from gpt2lab.engine.params import SamplingParams
    from gpt2lab.engine.prefix import PrefixCache

    if not 1 <= k <= 100:
        raise ConfigError(f"--count = {k} must be a whole number from 1 to 100.")
    if text == console.STDIN:
        if not as_json and not web:
            raise ConfigError("A text from standard input leaves no place for keys; add --json, or give the text.")
        text = console.read_text(text)
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, seed=_seed(seed))
    if web:
        from gpt2lab.server.models import FileLoader

        _open_page(model, text, params, k, FileLoader(
            precision=precision, threads=threads, models_dir=models_dir, offline=offline
        ))  # fmt: skip
        return
    lm = loading.load_model(
        model, models_dir=models_dir, offline=offline, precision=precision, device="cpu", threads=threads
    )
    lm.prefixes = PrefixCache(_PREFIX_BYTES)
    state = State(lm, params, k, _ids(lm, text))
    if as_json:
        console.write(console.to_json(_as_json(model, state), indent=2) + "\n")
        return
    _loop(state)


def _open_page(model: str, text: str, params: SamplingParams, k: int, loader: FileLoader) -> None:
    """Serve the explorer's page on a free port of this machine and show it in the browser, in this very state."""
    import threading
    import webbrowser
    from urllib.parse import urlencode

    from gpt2lab.cli.serve import run_server
    from gpt2lab.server.models import named_sources
    from gpt2lab.server.settings import ServerSettings

    usual = {"text": "", "k": 10, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    given = {"text": text, "k": k, **{name: getattr(params, name) for name in ("temperature", "top_k", "top_p")}}
    query = urlencode({name: value for name, value in given.items() if value != usual[name]})

    def show(address: str) -> None:
        page = f"{address}/?{query}" if query else f"{address}/"
        # beside the server: a browser of the terminal's own returns when it is left, and asks before
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

    run_server(named_sources([model]), ServerSettings(port=0), loader, show)


def _seed(given: int | None) -> int:
    from gpt2lab.cli.sampling import new_seed

    return new_seed() if given is None else given


def _ids(lm: LanguageModel, text: str) -> list[int]:
    if lm.tokenizer is None:
        raise RequestError(f"{lm.source} has no tokenizer; the explorer needs one.")
    return lm.tokenizer.encode(text)


@dataclass
class State:
    """A text that grows a token at a time: the ids so far, and how many of them each choice added (for undo)."""

    lm: LanguageModel
    params: SamplingParams
    k: int
    ids: list[int]
    chosen: list[int] = field(default_factory=list)

    def look(self) -> Expectation:
        """Return what comes next; after a choice or an undo this costs one step of the model."""
        from gpt2lab.engine.jobs import check_prompt
        from gpt2lab.engine.score import drained
        from gpt2lab.lm.explorer import expectation_pieces

        ids = check_prompt(self.ids or [self.lm.bos_id()], self.lm.config.vocab_size)
        pieces = expectation_pieces(self.lm.backend, ids, self.params, self.k, self.lm.prefixes)
        return drained(pieces)

    def choose(self, token: int) -> None:
        """Append a token."""
        self.ids.append(token)
        self.chosen.append(token)

    def undo(self) -> bool:
        """Take the last chosen token back; False where none was chosen."""
        if not self.chosen:
            return False
        self.chosen.pop()
        self.ids.pop()
        return True

    def random(self) -> None:
        """Append what generation with these settings would; the same place of the text gives the same token."""
        prompt = self.ids or [self.lm.bos_id()]
        made = self.lm.generate(
            token_ids=prompt, max_new_tokens=1, stop_ids=(), repetition_penalty=1.0, seed=self.params.seed,
            temperature=self.params.temperature, top_k=self.params.top_k, top_p=self.params.top_p,
        )  # fmt: skip
        self.choose(made[0].token_ids[0])

    @property
    def text(self) -> str:
        """The whole text."""
        assert self.lm.tokenizer is not None
        return self.lm.tokenizer.decode(self.ids)


def _loop(state: State) -> None:
    """Show, read a key, do what it says, until q or the end of the input."""
    from gpt2lab.cli import console
    from gpt2lab.cli.wording import with_flags

    with _keys() as keys:
        found = state.look()
        console.write(_screen(state, found))
        for key in keys:
            if key == "q":
                return
            try:
                note = _do(key, state, found, keys)
            except Gpt2labError as error:
                console.say(f"gpt2lab: {with_flags(str(error))}")
                continue
            if note:
                console.say(note)
                continue
            found = state.look()
            console.write(_screen(state, found))


def _do(key: str, state: State, found: Expectation, keys: Iterator[str]) -> str:
    """Do what a key asks for; return what is to be said instead of a new screen, "" for nothing."""
    from dataclasses import replace

    if key.isascii() and key.isdigit() and len(key) == 1:
        place = (int(key) - 1) % _DIGITS
        shown = min(state.k, len(found.raw))
        if place >= shown:
            return f"note: there are only {shown} tokens to choose from."
        state.choose(found.raw[place][0])
    elif key == "u":
        if not state.undo():
            return "note: there is nothing to undo."
    elif key == "r":
        state.random()
    elif key in ("t", "k"):
        name = "temperature" if key == "t" else "top_k"
        given = _asked(f"{name.replace('_', '-')} = ", keys)
        try:
            value: Any = float(given) if key == "t" else int(given)
        except ValueError:
            return f"gpt2lab: {given!r} is not a number; {name} stays {getattr(state.params, name)}."
        state.params = replace(state.params, **{name: value})
    else:
        return f"note: {key!r} is no key here. {HELP}"
    return ""


def _asked(prompt: str, keys: Iterator[str]) -> str:
    """Return a value that is typed as a line, from the terminal or the pipe."""
    if isinstance(keys, _Pressed):
        return keys.line(prompt)
    return next(keys, "")


# ---- the screen ----------------------------------------------------------------------------------------------


def _screen(state: State, found: Expectation) -> str:
    """Return the text, its next tokens with bars, and the keys."""
    from gpt2lab.cli import console

    assert state.lm.tokenizer is not None
    settings = state.params
    plain = settings.temperature == 1 and settings.top_k == 0 and settings.top_p == 1
    left = dict(found.filtered)
    rows = []
    for place, (token, probability) in enumerate(found.raw):
        key = str((place + 1) % _DIGITS) if place < _DIGITS else ""
        changed = () if plain else (f"{left[token]:6.1%}" if token in left else "-",)
        bar = "#" * round(probability * _BAR)
        rows.append((key, f"{probability:6.1%}", *changed, console.quoted(state.lm.tokenizer.token_text(token)), bar))
    lines = [f"\n{state.text}", ""]
    if found.start:
        lines.append(f"(the model reads the last {len(state.ids) - found.start} tokens of {len(state.ids)})")
    lines += console.aligned(rows, right=(1,) if plain else (1, 2))
    about = f"temperature {settings.temperature:g} · top-k {settings.top_k or 'off'} · {found.kept} tokens left"
    lines.append(f"together {found.raw_mass:.1%}" + ("" if plain else f" · {about}"))
    return "\n".join([*lines, HELP]) + "\n"


def _as_json(model: str, state: State) -> dict[str, Any]:
    found = state.look()
    assert state.lm.tokenizer is not None
    tokenizer = state.lm.tokenizer

    def listed(tokens: list[tuple[int, float]]) -> list[dict[str, Any]]:
        return [{"id": i, "text": tokenizer.token_text(i), "probability": p} for i, p in tokens]

    return {
        "model": model,
        "text": state.text,
        "token_ids": state.ids,
        "window_start": found.start,
        "entropy": found.entropy,
        "raw": listed(found.raw),
        "filtered": listed(found.filtered),
        "filtered_count": found.kept,
    }


# ---- keys ----------------------------------------------------------------------------------------------------


class _Pressed(Iterator[str]):
    """Keys of a terminal as they are pressed; where the terminal cannot do that, lines."""

    def __next__(self) -> str:
        while True:
            key = sys.stdin.read(1)
            if key in ("", "\x04"):
                raise StopIteration
            if key == "\x03":
                raise KeyboardInterrupt
            if not key.isspace():
                return key

    def line(self, prompt: str) -> str:
        """Return a line that is typed behind a prompt."""
        from gpt2lab.cli import console

        console.write(prompt)
        typed = ""
        while (key := sys.stdin.read(1)) not in ("", "\n", "\r"):
            if key == "\x03":
                raise KeyboardInterrupt
            typed = typed[:-1] if key in ("\x7f", "\b") else typed + key
            console.write("\b \b" if key in ("\x7f", "\b") else key)
        console.write("\n")
        return typed.strip()


@contextlib.contextmanager
def _keys() -> Iterator[Iterator[str]]:
    """Yield the keys that are given: single ones from a terminal, lines from a pipe."""
    if sys.stdin is None:
        raise ConfigError("Standard input is closed; there is nobody to choose.")
    try:
        import termios
        import tty
    except ImportError:  # Windows: a line for each key
        yield (line.strip() for line in sys.stdin)
        return
    if not sys.stdin.isatty():
        yield (word for line in sys.stdin if (word := line.strip()))
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _Pressed()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
