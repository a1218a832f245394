"""`gpt2lab serve`: the HTTP API and the pages, on this machine unless it is told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from typer import Option

from gpt2lab.cli import options as o
from gpt2lab.cli.app import examples
from gpt2lab.errors import ConfigError

if TYPE_CHECKING:
    from gpt2lab.server.models import FileLoader
    from gpt2lab.server.settings import ServerSettings

EXAMPLES = examples(
    "gpt2lab serve",
    "gpt2lab serve --model gpt2 --model mine=runs/shakespeare/model --precision int8 --port 8080",
    "gpt2lab serve --host 0.0.0.0 --allow-remote --api-key SECRET",
)

_GB = 10**9


def serve(
    model: Annotated[
        list[str] | None,
        Option(
            "--model", "-m", metavar="NAME", help="A model as elsewhere, or NAME=MODEL to serve it under a name of "
            "yours; may be given several times. The first is the default. Default: tiny.", show_default=False,
        ),
    ] = None,
    host: Annotated[str, Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option("--port", metavar="N", help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        Option("--api-key", metavar="KEY", envvar="GPT2LAB_API_KEY", help="Answer only requests that carry this key."),
    ] = None,
    allow_remote: Annotated[
        bool, Option("--allow-remote", help="Listen on an address that other machines reach; needs --api-key.")
    ] = False,
    cors: Annotated[
        list[str] | None,
        Option("--cors", metavar="ORIGIN", help="Let pages from there read answers; may be given several times."),
    ] = None,
    memory: Annotated[
        float,
        Option(
            "--memory", metavar="GB", help="Weights and remembered texts of all loaded models; the model that was not "
            "asked for longest goes first.",
        ),
    ] = 4.0,
    prefix_memory: Annotated[
        float, Option("--prefix-memory", metavar="GB", help="Of that, for each model's remembered texts.")
    ] = 0.25,
    max_running: Annotated[int, Option("--max-running", metavar="N", help="Texts written at once.")] = 32,
    max_waiting: Annotated[
        int, Option("--max-waiting", metavar="N", help="Texts that wait behind them; more are refused (429).")
    ] = 256,
    max_prompt_tokens: Annotated[
        int, Option("--max-prompt-tokens", metavar="N", help="Tokens of a request's prompts together.")
    ] = 16384,
    max_output_tokens: Annotated[
        int, Option("--max-output-tokens", metavar="N", help="New tokens of each text.")
    ] = 4096,
    max_body: Annotated[int, Option("--max-body", metavar="BYTES", help="Size of a request.")] = 2**20,
    timeout: Annotated[float, Option("--timeout", metavar="S", help="Seconds for one answer, waiting included.")] = 300,
    stop_timeout: Annotated[
        float, Option("--stop-timeout", metavar="S", help="Seconds to finish what runs when it is asked to end.")
    ] = 60,
    precision: o.Precision = "fp32",
    threads: o.Threads = None,
    models_dir: o.ModelsDir = None,
    offline: o.Offline = False,
) -> None:  # fmt: skip
    """Serve OpenAI's completions API and the pages over HTTP.

    /v1/completions, /v1/embeddings and /v1/models for OpenAI's clients; /api/next and /api/analyze for the pages;
    /health and /metrics. Ctrl-C or SIGTERM ends it when what runs is finished; a second one at once.
    """
    from gpt2lab.engine.running import Limits
    from gpt2lab.server.models import FileLoader, named_sources
    from gpt2lab.server.settings import ServerSettings

    for name, gigabytes in (("memory", memory), ("prefix-memory", prefix_memory)):
        if not 0 <= gigabytes < math.inf:
            raise ConfigError(f"--{name} = {gigabytes} must be a number of gigabytes.")
    settings = ServerSettings(
        host=host, port=port, api_key=api_key, allow_remote=allow_remote, cors=tuple(cors or ()),
        memory_bytes=int(memory * _GB), prefix_bytes=int(prefix_memory * _GB), max_prompt_tokens=max_prompt_tokens,
        max_output_tokens=max_output_tokens, max_body_bytes=max_body, request_seconds=timeout,
        stop_seconds=stop_timeout, engine=Limits(max_running=max_running, max_waiting=max_waiting),
    )  # fmt: skip
    loader = FileLoader(precision=precision, threads=threads, models_dir=models_dir, offline=offline)
    run_server(named_sources(model or ["tiny"]), settings, loader)


def run_server(
    sources: Mapping[str, str],
    settings: ServerSettings,
    loader: FileLoader,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; the first model is loaded at once. `ready` is told the address before all else."""
    from dataclasses import replace

    from gpt2lab.cli import console, loading
    from gpt2lab.server.app import create_app
    from gpt2lab.server.hosting import address, new_server, open_socket

    with open_socket(settings) as listening:
        first = next(iter(sources))
        lm = loading.load_model(
            sources[first], models_dir=loader.models_dir, offline=loader.offline, precision=loader.precision,
            device="cpu", threads=loader.threads,
        )  # fmt: skip
        expanded = replace(loader, models_dir=loading.expanded(loader.models_dir))
        app = create_app(sources, settings=settings, loader=expanded, ready={first: lm})
        console.say(f"gpt2lab serves {', '.join(sources)} at {address(listening)} (Ctrl-C ends it)")
        ready(address(listening))
        new_server(app, settings).run(sockets=[listening])
