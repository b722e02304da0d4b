"""Interface between the measured application and a tracing variant. It imports no tracing: bare loads it too."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from confluent_kafka import Consumer, Message, Producer
from fastapi import FastAPI
from sqlalchemy import Engine

if TYPE_CHECKING:
    from lean_tracing.asgi import App

Variant = Literal["bare", "stock", "ours", "native", "grpc", "ddtrace", "ddtrace-otlp", "logfire"]
"""`ours` and `native` export over HTTP, as the services of the stack; `grpc` is `ours` over gRPC, as `stock`.

`ddtrace` uses the protocol of Datadog's agent, which is its default and costs it less than OTLP (`ddtrace-otlp`).
"""
Transport = Literal["grpc", "http", "datadog"]
"""OTLP over gRPC or HTTP, or the protocol of Datadog's agent. The receiver takes each at a URL of its own."""
Mode = Literal["on", "unsampled", "off"]
_OVER_HTTP: Final = ("ours", "native", "ddtrace-otlp", "logfire")

ALIKE = "measured"
"""The name of spans whose contents are the same with all variants, because the scenario gives them."""
GIVEN: Final = frozenset({"task.status", "task.outcome", "attempt", "order.id", "order.items", "price"})
"""The attributes that the scenarios give these spans; alternatives add some of their own."""

FLUSH_SECONDS = 20.0
# Rounds end with a flush. A smaller queue could overflow before it, and a variant that loses spans looks cheap.
QUEUE_SPANS = 16_384


def transport(variant: Variant) -> Transport:
    """Return how a variant exports."""
    if variant == "ddtrace":
        return "datadog"
    return "http" if variant in _OVER_HTTP else "grpc"


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A producer, and the function that sends a message."""

    client: Producer
    produce: Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Consuming:
    """A consumer, and the context in which a message is processed."""

    client: Consumer
    process: Callable[[Message], AbstractContextManager[object]]


class Instrumentation(Protocol):
    """One variant."""

    def application(self, app: FastAPI) -> "App":
        """Return the traced application."""

    def engine(self, engine: Engine) -> None:
        """Trace the statements of `engine`."""

    def producer(self, config: dict[str, Any]) -> Sending:
        """Return a traced producer."""

    def consumer(self, config: dict[str, Any]) -> Consuming:
        """Return a traced consumer."""

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        """Start a span with attributes."""

    def flush(self) -> None:
        """Wait until the receiver has all ended spans.

        Raises:
            TimeoutError: it does not get them in time.
        """
