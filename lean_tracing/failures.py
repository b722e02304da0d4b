"""Tells failures from other ends of an operation, and describes them."""

import asyncio
import traceback
from typing import Final

ABORTED: Final = (asyncio.CancelledError, KeyboardInterrupt)
"""These end an operation before it has done its work, and are not its fault."""


def is_failure(error: BaseException) -> bool:
    """Whether the operation that raised `error` has failed.

    It has not if it was asked to end (cancelled, Ctrl-C, a closed generator), if it ends the process with success, or
    if the error is how an iterator ends.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_failure, error.exceptions))
    if isinstance(error, SystemExit):
        return not (error.code is None or (isinstance(error.code, int) and error.code == 0))
    return not isinstance(error, (*ABORTED, GeneratorExit, StopIteration, StopAsyncIteration))


def text_of(error: BaseException) -> str:
    """The error's text, which its own code makes and which may fail."""
    try:
        return str(error)
    except Exception:
        return f"(no text: {type(error).__name__}.__str__ raises)"


def stack_of(error: BaseException) -> str:
    """The error's traceback; "" if it cannot be formatted."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:
        return ""
