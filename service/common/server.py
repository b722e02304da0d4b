"""Runs a service in this process until a signal ends it."""

import contextlib
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import TypeVar

import uvicorn

from contracts.span_attributes import PREFIX
from lean_tracing import Redactor, SettingsError, Tracing, TracingSettings, start_tracing
from lean_tracing.asgi import App
from lean_tracing.logs import configure_logging
from lean_tracing.usage import usage
from service.common.config import ServiceSettings
from service.common.connections import LimitedProtocol

_REQUEST_SECONDS = 8  # of the 30 s that a pod has to stop
Settings = TypeVar("Settings", bound=ServiceSettings)


class Server(uvicorn.Server):
    """uvicorn without its signal handling, which raises the signal again at the end: the exit code is then never 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Does nothing: `run` handles the signals."""
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
            http=LimitedProtocol,
            ws="none",
            timeout_graceful_shutdown=_REQUEST_SECONDS,
        )
    )


def run(
    name: str,
    model: type[Settings],
    build: Callable[[Settings, Tracing], App],
    arguments: Sequence[str] | None = None,
) -> int:
    """Reads the settings, builds the service and serves until SIGTERM or SIGINT.

    Args:
        name: The service's name.
        model: The settings to read from the environment.
        build: Builds the application.
        arguments: Those of the command line by default; `--help` lists the variables.

    Returns:
        The exit code. 0: stopped. 1: the service could not start, for example because the port is in use. 2: the
        environment or the command line is wrong; one line on stderr says what.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments:
        if set(arguments) <= {"-h", "--help"}:
            command = f"python -m service.{model.__module__.split('.')[1]}"
            print(usage(command, "Serves until SIGTERM.", model, TracingSettings))
            return 0
        print(f"{name}: the only argument is --help; environment variables configure the service", file=sys.stderr)
        return 2
    try:
        settings = model.from_env()
        tracing_settings = TracingSettings.from_env(defaults={"OTEL_SERVICE_NAME": name})
    except SettingsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    # Before tracing starts, so that its warnings about settings are logged in the same format.
    configure_logging(settings.log_level, tracing_settings.service_name, Redactor())
    tracing = start_tracing(tracing_settings, attribute_prefix=PREFIX)
    configure_logging(settings.log_level, tracing_settings.service_name, tracing.redactor, tracing.log_handler)
    server = build_server(build(settings, tracing), settings)

    def end(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()
    return 0 if server.started else 1
