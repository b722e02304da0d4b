"""The variant without tracing, with which the others are compared."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, Producer
from fastapi import FastAPI
from sqlalchemy import Engine

from checks.bench.instrumentation import Consuming, Sending

if TYPE_CHECKING:
    from lean_tracing.asgi import App


class Bare:
    """Runs the application without tracing; implements `Instrumentation`."""

    def application(self, app: FastAPI) -> "App":
        return app

    def engine(self, engine: Engine) -> None:
        """Change nothing."""

    def producer(self, config: dict[str, Any]) -> Sending:
        client = Producer(config)
        return Sending(client=client, produce=client.produce)

    def consumer(self, config: dict[str, Any]) -> Consuming:
        return Consuming(client=Consumer(config), process=nullcontext)

    def span(self, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[object]:
        return nullcontext(attributes)

    def flush(self) -> None:
        """Change nothing."""
