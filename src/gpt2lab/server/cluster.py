"""The same application on more than one machine: a Ray Serve deployment (`gpt2lab[cluster]`).

Each replica is a whole server with models of its own; Serve starts more of them as requests queue up and ends them
again. No answer depends on the replica that gives it. Started by Serve's own commands, for example
`serve run gpt2lab.server.cluster:application models=tiny api_key=SECRET max_replicas=8`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gpt2lab.engine.running import Limits
from gpt2lab.errors import ConfigError, MissingExtraError
from gpt2lab.server.models import FileLoader, named_sources
from gpt2lab.server.settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application


class ClusterOptions(BaseModel):
    """What a deployment is told.

    models: NAME or NAME=MODEL, between commas, found on every machine. api_key: other machines reach the replicas, so
    there must be one. threads: processors of a replica. requests: that one replica answers at once on average; above
    it another one is started, below it one ends. delay: seconds that it must last. queued: requests that wait at
    Serve's door before it refuses more (503).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    api_key: str
    models: str = "tiny"
    precision: str = "fp32"
    models_dir: str | None = None
    offline: bool = False
    threads: int = Field(2, ge=1)
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(4, ge=1)
    requests: int = Field(16, ge=1)
    queued: int = Field(1024, ge=1)
    delay: float = Field(10.0, gt=0)
    memory: float = Field(4.0, gt=0, description="GB of each replica")
    stop_timeout: float = Field(60.0, gt=0)

    @property
    def settings(self) -> ServerSettings:
        """What each replica's server is told."""
        return ServerSettings(
            host="0.0.0.0", allow_remote=True, api_key=self.api_key, memory_bytes=int(self.memory * 10**9),
            stop_seconds=self.stop_timeout, engine=Limits(max_running=2 * self.requests),
        )  # fmt: skip


def options_of(arguments: Mapping[str, Any]) -> ClusterOptions:
    """Return the options that KEY=VALUE arguments say; raises `ConfigError`."""
    try:
        options = ClusterOptions.model_validate(dict(arguments))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if options.max_replicas < options.min_replicas:
        raise ConfigError(
            f"max_replicas = {options.max_replicas} must be at least min_replicas = {options.min_replicas}."
        )
    named_sources(options.models.split(","))
    assert options.settings
    return options


def application(arguments: Mapping[str, Any]) -> Application:
    """Return the deployment, ready for `ray.serve.run` or `serve run`; `arguments` are fields of `ClusterOptions`.

    Raises `ConfigError`, and `MissingExtraError` where Ray Serve is not installed.
    """
    options = options_of(arguments)
    try:
        from ray import serve
    except ImportError:
        raise MissingExtraError("Serving on a cluster", "cluster") from None

    def build() -> FastAPI:  # runs in the replica
        from gpt2lab.server.app import create_app

        loader = FileLoader(
            precision=options.precision, threads=options.threads, models_dir=options.models_dir, offline=options.offline
        )
        return create_app(named_sources(options.models.split(",")), settings=options.settings, loader=loader)

    deployment = serve.deployment(
        name="gpt2lab",
        ray_actor_options={"num_cpus": options.threads},
        max_ongoing_requests=4 * options.requests,
        max_queued_requests=options.queued,
        graceful_shutdown_timeout_s=options.stop_timeout,
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.requests,
            "upscale_delay_s": options.delay,
            "downscale_delay_s": 10 * options.delay,
        },
    )
    made: Application = deployment(serve.ingress(build)()).bind()
    return made
