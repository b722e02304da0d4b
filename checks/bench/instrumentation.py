"""What the measured application needs from a way of tracing. Imports no tracing: it is loaded into the bare process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, Producer
    from fastapi import FastAPI
    from sqlalchemy import Engine

    from service.tracing.asgi import App

Variant = Literal["bare", "stock", "ours"]
Mode = Literal["on", "unsampled", "off"]

FLUSH_SECONDS = 20.0
# Rounds end with a flush; a queue that overflows before it would make a variant look cheap for spans it lost.
QUEUE_SPANS = 16_384


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A producer, and the function through which messages go to it."""

    client: Producer
    produce: Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Consuming:
    """A consumer, and the block in which a message of it is processed."""

    client: Consumer
    process: Callable[[Message], AbstractContextManager[object]]


class Instrumentation(Protocol):
    """One variant."""

    def application(self, app: FastAPI) -> App:
        """The traced application."""

    def engine(self, engine: Engine) -> None:
        """Traces what `engine` runs."""

    def producer(self, config: dict[str, Any]) -> Sending:
        """A traced producer."""

    def consumer(self, config: dict[str, Any]) -> Consuming:
        """A traced consumer."""

    def span(self) -> AbstractContextManager[object]:
        """One span with three attributes."""

    def flush(self) -> None:
        """Returns when the receiver has every span that ended. Raises TimeoutError."""
