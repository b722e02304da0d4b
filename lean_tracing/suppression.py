"""Blocks in which no spans are made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context

SUPPRESSED: Final = otel_context.create_key("tracing-suppressed")


@contextmanager
def suppressed() -> Iterator[None]:
    """No spans inside this block: for probes, scrapes and start-up work, whose spans are of no use."""
    token = otel_context.attach(otel_context.set_value(SUPPRESSED, True))
    try:
        yield
    finally:
        otel_context.detach(token)
