"""Compiles the native part of the tracing library for programs that run from the sources: images, checks, tests.

Its wheel is built by setuptools, see lean_tracing/setup.py.
"""

import hashlib
import importlib.util
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from lean_tracing import native

_ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = _ROOT / "lean_tracing" / "native"
FILE: Final = f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"
"""The name of the compiled module, with the version of this Python in it."""
_CACHE: Final = _ROOT / ".local" / "native"
_OPTIMIZED: Final = ("-O2",)
_SECONDS: Final = 300.0


class CompilationError(Exception):
    """The native part cannot be compiled; the message says why."""


class NoCompilerError(CompilationError):
    """This machine has no C compiler, or no headers of Python."""


def compile_native_part(folder: Path, sources: Path = SOURCES, flags: Sequence[str] = _OPTIMIZED) -> Path:
    """Compiles the module into a folder, and returns its path. The same sources and compiler give the same bytes.

    Raises:
        NoCompilerError: there is no compiler, or no header of Python.
        CompilationError: the compiler fails, or takes minutes.
    """
    include = Path(sysconfig.get_paths()["include"])
    compiler = next(filter(shutil.which, (_first_word(sysconfig.get_config_var("CC")), "cc")), None)
    if compiler is None:
        raise NoCompilerError("no C compiler on PATH")
    if not (include / "Python.h").is_file():
        raise NoCompilerError(f"no headers of Python: {include / 'Python.h'} is missing")
    target = folder / FILE
    linked = ["-shared"] if sys.platform != "darwin" else ["-bundle", "-undefined", "dynamic_lookup"]
    files = sorted(path.name for path in sources.glob("*.c"))
    command = [compiler, *flags, "-fPIC", *linked, f"-I{include}", *files, "-o", str(target)]
    try:
        ended = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise CompilationError(f"the compiler takes more than {_SECONDS:g} s") from None
    if ended.returncode != 0:
        raise CompilationError(f"{shlex.join(command)}\n{ended.stderr}")
    return target


def _first_word(command: str | None) -> str:
    return (shlex.split(command or "") or ["cc"])[0]


def compile_once(flags: Sequence[str] = _OPTIMIZED) -> Path:
    """Compiles the module unless this machine has it already. Several processes may call it at the same time.

    Raises:
        NoCompilerError: there is no compiler, or no header of Python.
        CompilationError: the compiler fails.
    """
    key = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {flags}".encode())
    for file in sorted((*SOURCES.glob("*.c"), *SOURCES.glob("*.h"))):
        key.update(file.read_bytes())
    module = _CACHE / key.hexdigest()[:16] / FILE
    if not module.exists():
        module.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            compile_native_part(Path(scratch), flags=flags).replace(module)
    return module


def load_native_part(flags: Sequence[str] = _OPTIMIZED) -> ModuleType:
    """Makes this process use the native part, and returns it.

    Raises:
        NoCompilerError: there is no compiler, or no header of Python.
        CompilationError: it cannot be compiled, or it does not fit the library.
    """
    spec = importlib.util.spec_from_file_location(native.MODULE, compile_once(flags))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[native.MODULE] = module
    native.load.cache_clear()
    if native.load() is None:
        raise CompilationError("the native part was compiled, and does not fit the library")
    return module
