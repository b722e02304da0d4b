"""Runs a service in this process until a signal ends it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import TypeVar

import uvicorn

from service.common.config import ServiceSettings
from service.common.usage import usage
from service.tracing import Redactor, SettingsError, Tracing, TracingSettings, from_environment, start_tracing
from service.tracing.asgi import App
from service.tracing.logs import configure_logging

_REQUESTS_MAY_TAKE = 8  # seconds, of a pod's 30 s of grace
Settings = TypeVar("Settings", bound=ServiceSettings)


class Server(uvicorn.Server):
    """uvicorn without its signal handling, which ends with the signal raised anew and so never with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves the signals to `run`."""
        yield


def build_server(app: App, settings: ServiceSettings) -> Server:
    """A server for `app` that neither logs requests (their spans do) nor configures logging."""
    return Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_REQUESTS_MAY_TAKE,
        )
    )


def run(
    name: str,
    model: type[Settings],
    build: Callable[[Settings, Tracing], App],
    arguments: Sequence[str] | None = None,
) -> int:
    """Reads the settings, builds the service and serves until SIGTERM or SIGINT. Returns the exit code.

    2: the environment (or the command line) is wrong, said in one line on stderr. 1: it could not start, such as a port
    in use. 0: stopped. arguments: the command line's, where `--help` lists the variables.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given:
        if set(given) <= {"-h", "--help"}:
            print(usage(f"python -m service.{model.__module__.split('.')[1]}", model, TracingSettings))
            return 0
        print(f"{name}: takes no arguments but --help; it is configured by environment variables", file=sys.stderr)
        return 2
    try:
        settings = from_environment(model)
        tracing_settings = from_environment(TracingSettings, defaults={"OTEL_SERVICE_NAME": name})
    except SettingsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    # Before tracing starts, so that what it says of its settings is a line like all others.
    configure_logging(settings.log_level, tracing_settings.service_name, Redactor())
    tracing = start_tracing(tracing_settings)
    configure_logging(settings.log_level, tracing_settings.service_name, tracing.redactor, tracing.log_handler)
    server = build_server(build(settings, tracing), settings)

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()
    return 0 if server.started else 1
