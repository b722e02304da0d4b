"""The unit tests of the library pass with the native part as well, and the native part passes under sanitizers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from local.native_part import compile_once
from tests.support.native_part import FLAGS_VARIABLE
from tests.support.profiles import is_nightly

_ROOT = Path(__file__).parents[4]
_SANITIZED = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
_LIBRARIES = ("libasan.so", "libubsan.so")


def _pytest(*arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", "pytest", *arguments, "-p", "no:schemathesis", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        command, cwd=_ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=3000
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    return ended.stdout


def test_the_unit_tests_of_the_library(compiled: ModuleType) -> None:
    profile = "nightly" if is_nightly() else "dev"
    printed = _pytest("tests/unit/lean_tracing", "-p", "tests.support.native_part", HYPOTHESIS_PROFILE=profile)
    assert "the tracing library with its native part" in printed


@pytest.mark.nightly
def test_the_tests_of_the_native_part_under_sanitizers(compiled: ModuleType) -> None:
    """AddressSanitizer and UndefinedBehaviorSanitizer; Python's own memory from malloc, so that they see all of it."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the sanitizers are those of gcc, which is not on PATH")
    libraries = [_library(compiler, name) for name in _LIBRARIES]
    compile_once(_SANITIZED.split())  # not by the tests, where the compiler would run with the libraries as well
    folder = Path(__file__).parent
    files = sorted(str(path) for path in folder.glob("test_*.py") if path != Path(__file__))
    _pytest(
        *files,
        **{FLAGS_VARIABLE: _SANITIZED},
        ASAN_OPTIONS="detect_leaks=0",  # Python itself keeps memory until its end; test_memory.py looks for leaks
        PYTHONMALLOC="malloc",
        LD_PRELOAD=" ".join(libraries),
        HYPOTHESIS_PROFILE="ci",
    )


def _library(compiler: str, name: str) -> str:
    printed = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = printed.stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"the compiler has no {name}")
    return path
