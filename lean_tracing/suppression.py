"""Blocks in which no spans are made, neither by this library nor by the instrumentations of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

SUPPRESSED: Final = otel_context.create_key("tracing-suppressed")


@contextmanager
def suppressed() -> Iterator[None]:
    """No spans inside this block: for probes, scrapes and start-up work, whose spans are of no use."""
    current = otel_context.get_current()
    token = otel_context.attach(Context({**current, SUPPRESSED: True, _SUPPRESS_INSTRUMENTATION_KEY: True}))
    try:
        yield
    finally:
        otel_context.detach(token)
