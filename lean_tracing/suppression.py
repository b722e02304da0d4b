"""Blocks in which no spans are made, neither by this library nor by the instrumentations of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

from lean_tracing.current import attach, detach, get_current

SUPPRESSED: Final = otel_context.create_key("tracing-suppressed")


@contextmanager
def suppressed() -> Iterator[None]:
    """No spans inside this block: for probes, scrapes and start-up work, whose spans are of no use."""
    token = attach(Context({**get_current(), SUPPRESSED: True, _SUPPRESS_INSTRUMENTATION_KEY: True}))
    try:
        yield
    finally:
        detach(token)
