"""The native part of the tracing library, compiled once for the tests of this machine.

As a plugin of pytest (`-p tests.support.native_part`) it becomes the default of the whole library, so that the tests
that were written for the Python twins run on it as well.
"""

import functools
import inspect
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from lean_tracing.encoding import AttributeEncoder, Encoder
from lean_tracing.propagation import Propagator
from lean_tracing.redaction import Redactor
from lean_tracing.span_encoder import SpanEncoder
from lean_tracing.spans import TraceManager
from local.native_part import load_native_part

FLAGS_VARIABLE = "NATIVE_PART_FLAGS"
"""Holds other flags of the compiler, such as those of a sanitizer."""


@functools.cache
def native_part() -> ModuleType:
    """The loaded module.

    Raises:
        NoCompilerError: this machine has no compiler for it.
    """
    return load_native_part(os.environ.get(FLAGS_VARIABLE, "-O2").split())


def pytest_configure() -> None:
    """Makes it the default of every constructor that takes it."""
    module = native_part()
    for kind in (AttributeEncoder, Encoder, Propagator, SpanEncoder, TraceManager):
        _set_default(kind.__init__, "native", module)
    _set_default(Redactor.__init__, "is_harmless", module.is_harmless)


def _set_default(function: Callable[..., Any], name: str, value: object) -> None:
    parameter = inspect.signature(function).parameters[name]
    if parameter.kind is parameter.KEYWORD_ONLY:
        function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), name: value}
    else:
        assert function.__defaults__ is not None
        names = list(inspect.signature(function).parameters)
        defaults = list(function.__defaults__)
        defaults[names.index(name) - len(names)] = value
        function.__defaults__ = tuple(defaults)


def pytest_report_header() -> str:
    """A line that the test of the runs looks for."""
    return "the tracing library with its native part"
