"""The library as a distribution: its wheel in an empty environment, which has nothing of this repository."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from checks.harness.receiver import Receiver
from lean_tracing.version import NAME, VERSION
from local.native_part import FILE, NoCompilerError, compile_once

_ROOT = Path(__file__).parents[3]
# Modules that need a library of an extra, and that library.
_OF_EXTRAS = {"httpx": "httpx", "kafka": "confluent_kafka", "sqlalchemy": "sqlalchemy", "pool_statistics": "sqlalchemy"}

_PROGRAM = """
import importlib, importlib.metadata, importlib.util, pathlib, pkgutil, sys
import lean_tracing
from lean_tracing import TracingSettings, start_tracing

folder = pathlib.Path(lean_tracing.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
assert (folder / "py.typed").is_file()
for library in ("service", "contracts", "httpx", "confluent_kafka", "sqlalchemy", "fastapi"):
    assert importlib.util.find_spec(library) is None, library
for module in pkgutil.walk_packages(lean_tracing.__path__, "lean_tracing."):
    if module.name.rpartition(".")[2] not in (*sys.argv[1].split(","), "_compiled"):
        importlib.import_module(module.name)
tracing = start_tracing(TracingSettings.from_env())
with tracing.traces.span("from the wheel"):
    pass
assert tracing.shutdown()
part = "python" if lean_tracing.native.load() is None else "native"
licence = importlib.metadata.metadata("lean-tracing")["License-Expression"]
print(importlib.metadata.version("lean-tracing"), licence, part)
"""


_PURE, _COMPILED, _FAILED = "without a compiler", "with a compiler", "with a compiler that fails"


@pytest.fixture(scope="module", params=[_PURE, _COMPILED, _FAILED])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """How, and the wheel; built from a copy, because a build writes `*.egg-info` into the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = dict(os.environ)
    if request.param == _PURE:
        environment["CC"] = "none"
    elif request.param == _FAILED:
        environment["CC"] = "false"
    else:
        try:
            compile_once()
        except NoCompilerError as error:
            pytest.skip(f"the native part is not built: {error}")
    source = folder / "source"
    shutil.copytree(_ROOT / "lean_tracing", source, ignore=shutil.ignore_patterns("__pycache__"))
    command = ("-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(source))
    _run(sys.executable, *command, env=environment)
    assert not (source / "build").exists()
    (wheel,) = folder.glob("*.whl")
    return request.param, wheel


def _run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=cwd, env=env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_wheel_has_every_module_its_types_and_its_licence(built: tuple[str, Path]) -> None:
    how, wheel = built
    if how == _PURE:
        assert wheel.name == f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    written = {str(path.relative_to(_ROOT)) for path in (_ROOT / "lean_tracing").rglob("*.py")}
    native = {f"lean_tracing/native/{FILE}"} if how == _COMPILED else set()
    assert packed == (written - {"lean_tracing/setup.py"}) | {"lean_tracing/py.typed"} | native
    licence = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/LICENSE"))
    assert b"Apache License" in zipfile.ZipFile(wheel).read(licence)


def test_the_changelog_describes_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (_ROOT / "lean_tracing" / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == VERSION


def test_the_wheel_traces_in_an_empty_environment(built: tuple[str, Path], receiver: Receiver, tmp_path: Path) -> None:
    how, wheel = built
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    # The versions that everything else is tested with, as constraints; these can have no hashes.
    pinned = re.findall(r"^(\S+==\S+)", (_ROOT / "service" / "requirements.lock").read_text(), re.MULTILINE)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(pinned))
    # This environment's pip: to install one takes longer than the rest of the test.
    pip = (sys.executable, "-m", "pip", f"--python={python}")
    _run(*pip, "install", "--quiet", "--only-binary=:all:", f"--constraint={constraints}", str(wheel))
    variables = {"OTEL_SERVICE_NAME": "installed", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    printed = _run(python, "-c", _PROGRAM, ",".join(_OF_EXTRAS), cwd=tmp_path, env=variables)
    assert printed.split() == [VERSION, "Apache-2.0", "native" if how == _COMPILED else "python"]
    usage = _run(python, "-m", "lean_tracing", cwd=tmp_path)
    assert "  TRACING_SAMPLING_RATE " in usage
    assert usage.endswith(
        "Native part: used.\n"
        if how == _COMPILED
        else "Native part: not used: it is not compiled for this Python; the same functions in Python are used.\n"
    )
    switched_off = _run(python, "-m", "lean_tracing", cwd=tmp_path, env={"TRACING_NATIVE": "false"})
    assert switched_off.endswith("Native part: not used: TRACING_NATIVE=false switches it off.\n")
    wrong = _run(python, "-m", "lean_tracing", cwd=tmp_path, env={"TRACING_NATIVE": "maybe"})
    assert "Native part: unknown, tracing does not start: TRACING_NATIVE='maybe' is not valid" in wrong
    assert [span.name for span in receiver.spans()] == ["from the wheel"]
