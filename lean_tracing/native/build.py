"""Compiles the native part for the running Python: `python -m lean_tracing.native.build FOLDER`.

The wheel is built by setuptools, from the same files (pyproject.toml). This is for everything that runs from the
sources: tests, benchmarks, images.
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

SOURCES: Final = tuple(sorted((*Path(__file__).parent.glob("*.c"), *Path(__file__).parent.glob("*.h"))))
_SECONDS: Final = 120.0


class CompilationError(Exception):
    """The native part cannot be compiled; the message says why."""


class NoCompilerError(CompilationError):
    """This machine has no C compiler, or no headers of Python."""


def compile_into(folder: Path, flags: Sequence[str] = ("-O2",)) -> Path:
    """Compiles the module into a folder, and returns its path.

    Args:
        folder: is made if it does not exist.
        flags: further ones of the compiler.

    Raises:
        NoCompilerError: there is no compiler, or no header of Python.
        CompilationError: the compiler fails.
    """
    include = Path(sysconfig.get_paths()["include"])
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        raise NoCompilerError("no C compiler on PATH")
    if not (include / "Python.h").is_file():
        raise NoCompilerError(f"no headers of Python: {include / 'Python.h'} is missing")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"
    link = ["-shared"] if sys.platform != "darwin" else ["-bundle", "-undefined", "dynamic_lookup"]
    command = [*compiler, *flags, "-fPIC", *link, f"-I{include}", *[str(file) for file in SOURCES if file.suffix == ".c"], "-o", str(target)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if ended.returncode != 0:
        raise CompilationError(f"{shlex.join(command)}\n{ended.stderr}")
    return target


def compile_once(cache: Path, flags: Sequence[str] = ("-O2",)) -> Path:
    """Compiles the module unless the cache has it, and returns its path. Processes may call it at the same time.

    Raises:
        CompilationError: see `compile_into`.
    """
    key = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()} {flags}".encode())
    for source in SOURCES:
        key.update(source.read_bytes())
    folder = cache / key.hexdigest()[:16]
    module = folder / f"_compiled{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not module.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            compile_into(Path(scratch), flags).replace(module)
    return module


def load_from(path: Path) -> ModuleType:
    """A compiled module that `native.load` finds from now on in this process.

    Raises:
        ImportError: it was compiled for another Python.
    """
    spec = importlib.util.spec_from_file_location(native.MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[native.MODULE] = module
    native.load.cache_clear()
    return module


if __name__ == "__main__":
    try:
        print(compile_into(Path(sys.argv[1])))
    except (CompilationError, IndexError) as error:
        sys.exit(f"error: {error}")
