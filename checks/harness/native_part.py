"""The native part of the tracing library, compiled once for this machine and each version of its sources."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from lean_tracing import native
from lean_tracing.native.build import CompilationError, compile_once, load_from

_CACHE = Path(__file__).parents[2] / ".local" / "native"


def compile_native_part(flags: Sequence[str] = ("-O2",)) -> Path:
    """The compiled module.

    Raises:
        NoCompilerError: this machine has no compiler for it.
        CompilationError: it has, and the compiler fails.
    """
    return compile_once(_CACHE, flags)


def load_native_part(flags: Sequence[str] = ("-O2",)) -> ModuleType:
    """Makes this process use the native part, and returns it.

    Raises:
        NoCompilerError: this machine has no compiler for it.
        CompilationError: it cannot be compiled, or it does not fit the library.
    """
    load_from(compile_native_part(flags))
    module = native.load()
    if module is None:
        raise CompilationError("the native part was compiled, and does not fit the library")
    return module
