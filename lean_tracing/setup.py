"""Adds the native part to the wheel, which is optional in every respect.

Without a C compiler, or without Python's headers, the wheel is one of Python code alone, for any platform. With a
compiler that fails, setuptools warns, and the wheel has no native part. `CC=none` leaves it out on purpose.
"""

import os
import shlex
import shutil
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup  # type: ignore[import-untyped]

_SOURCES = ("attributes.c", "headers.c", "look.c", "module.c", "scope.c", "span.c", "start.c", "writer.c")


def _can_compile() -> bool:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_paths()["include"], "Python.h").is_file()


_NATIVE = Extension(
    "lean_tracing.native._compiled",
    [f"native/{name}" for name in _SOURCES],
    depends=[f"native/{name}" for name in ("attributes.h", "bytes.h", "native.h")],
    optional=True,
)

# A folder `build` next to the sources would be taken for a part of them, and keep what the sources have no more.
with tempfile.TemporaryDirectory() as folder:
    # The name keeps this file, which is in the folder of the package, out of the wheel.
    setup(
        script_name="setup.py",
        ext_modules=[_NATIVE] if _can_compile() else [],
        options={"build": {"build_base": folder}},
    )
