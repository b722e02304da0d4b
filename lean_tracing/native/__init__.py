"""The native part: functions in C that give the same results as their twins in Python, at a fraction of the cost.

It is optional. Where no compiler has built it, or TRACING_NATIVE is false, the library uses the twins alone. Each
function in C does what is common, and calls its twin for everything else, so the twins define all results.
"""

import functools
import importlib
import itertools
import struct
from types import ModuleType
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, NonRecordingSpan, SpanContext, SpanKind

from lean_tracing import current
from lean_tracing.propagation import CORRELATION_KEY
from lean_tracing.redaction.tokens import PREFIX, TOKENS, prefix_of
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import FLAGS, NO_STATE, UNSET, NativeSpan, RecordedSpan
from lean_tracing.statistics import SpanCounts
from lean_tracing.suppression import SUPPRESSED
from lean_tracing.tracer import random_bits

MODULE: Final = "lean_tracing.native._compiled"
# Tokens are bits of a number.
_MOST_TOKENS: Final = 64


@functools.cache
def load() -> ModuleType | None:
    """The compiled module, ready for use; None if there is none, or if it does not fit the installed libraries."""
    try:
        return _configured()
    except (ImportError, TypeError, ValueError):
        return None


def problem() -> str | None:
    """Why `load` gives no module; None if it gives one."""
    if load() is not None:  # it is configured once
        return None
    try:
        _configured()
    except ModuleNotFoundError:
        return "it is not compiled for this Python"
    except (ImportError, TypeError, ValueError) as error:
        return f"it does not fit: {error}"
    return None


def _configured() -> ModuleType:
    module = importlib.import_module(MODULE)
    configure(module)
    return module


def configure(module: ModuleType) -> None:
    """Hands the library's classes and constants to a compiled module that was just imported.

    Raises:
        ImportError: the module has those of an earlier import of the library.
        TypeError: the installed libraries have other classes than the module expects.
        ValueError: the tables of the redaction are larger than it expects.
    """
    if current.variable is None:
        raise TypeError("OTEL_PYTHON_CONTEXT names another context than that of contextvars")
    made = NonRecordingSpan(INVALID_SPAN_CONTEXT), Link(INVALID_SPAN_CONTEXT)
    expected = {"_context": INVALID_SPAN_CONTEXT}, {"_context": INVALID_SPAN_CONTEXT, "_attributes": None}
    if tuple(map(vars, made)) != expected:
        raise TypeError("spans that are not recorded, or links, have other attributes than the native part sets")
    module.configure(
        RecordedSpan,
        NativeSpan,
        NonRecordingSpan,
        SpanContext,
        Link,
        Context,
        SharedAttributes,
        SpanCounts,
        current.variable,
        current.SPAN_KEY,
        CORRELATION_KEY,
        SUPPRESSED,
        NO_STATE,
        UNSET,
        SpanKind.INTERNAL,
        tuple(SpanKind),
        FLAGS,
        random_bits,
        current.detach,
        _enter,
        _leave,
        _prefixes(),
    )


async def _enter(scope: Any) -> Any:
    return scope.__enter__()


async def _leave(scope: Any, *error: Any) -> None:
    scope.__exit__(*error)


def _prefixes() -> bytes:
    """For each of the first characters of a token, and each character: which tokens have it there, a bit each."""
    if len(TOKENS) > _MOST_TOKENS:
        raise ValueError(f"{len(TOKENS)} tokens, and bits for {_MOST_TOKENS}")
    table = [[0] * 128 for _ in range(PREFIX)]
    for number, token in enumerate(TOKENS):
        for row, characters in itertools.zip_longest(table, prefix_of(token.expression)):
            for character in range(128) if characters is None else map(ord, characters):
                row[character] |= 1 << number
    return b"".join(struct.pack("=128Q", *row) for row in table)
