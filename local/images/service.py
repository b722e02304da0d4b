"""The service's own image: Debian's Python, the locked wheels, and the code on top, so that code changes are small."""

import hashlib
import py_compile
import shutil
import sys
import tempfile
from pathlib import Path

from contracts.versions import SERVICE_REPOSITORY
from local.failure import Failure
from local.images.archive import Image, Layer, Tree, architecture
from local.images.cache import LayerCache
from local.images.debian import PYTHON, Debian, compile_python
from local.jobs import Progress

CODE = Path(__file__).resolve().parents[2] / "service"

_RECIPE = 1  # raise it when this module makes another image from the same inputs
_PYTHON = "3.11"  # Debian 12's
_SITE = "usr/local/lib/python3.11/dist-packages"  # where Debian's Python looks by itself
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_NOT_CODE = ("Dockerfile", "requirements.in", "requirements.lock")
_GLIBC = range(17, 37)  # manylinux_2_17 to Debian 12's glibc 2.36


def service_reference(code: Path = CODE) -> str:
    """The image's reference: its tag changes with the code, the locked wheels and what is below them."""
    digest = hashlib.sha256(f"{wheels_key(code)} {_files_key(code)}".encode()).hexdigest()
    return f"{SERVICE_REPOSITORY}:{digest[:12]}"


def service_image(progress: Progress, cache: LayerCache, code: Path = CODE) -> Image:
    """Makes what is not cached: after a change of code only the top layer."""
    return Image(
        reference=service_reference(code),
        layers=(
            *Debian(cache).layers(progress, PYTHON),
            _wheels(progress, cache, code),
            _code(progress, cache, code),
        ),
        environment={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        user="10001:10001",
        working_directory="/app",
    )


def wheels_key(code: Path = CODE) -> str:
    """What the wheels' layer is made from."""
    lock = code / "requirements.lock"
    if not lock.exists():
        raise Failure(f"{lock} is missing: the service's image is made from the wheels that it pins.")
    described = f"{_RECIPE} {Debian(LayerCache()).key(PYTHON)} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    return hashlib.sha256(described.encode()).hexdigest()


def _wheels(progress: Progress, cache: LayerCache, code: Path) -> Layer:
    with cache.lock("wheels", progress):
        key = wheels_key(code)
        layer = cache.get("service-wheels", key)
        if not layer:
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="wheels-") as scratch:
                root = Path(scratch)
                Debian(cache).unpack(progress, PYTHON, root)
                target = root / _SITE
                _install(progress, code / "requirements.lock", target)
                shutil.rmtree(target / "bin", ignore_errors=True)  # scripts with this machine's Python in them
                progress.step("compiling the wheels")
                compile_python(progress, root, _SITE)
                tree = Tree()
                tree.copy(target, _SITE)
                layer = cache.put("service-wheels", key, tree)
    return layer


def _install(progress: Progress, lock: Path, target: Path) -> None:
    """Wheels for the image's Python, whatever the Python is that runs this."""
    machine = _MACHINES[architecture()]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in reversed(_GLIBC)] + [f"manylinux2014_{machine}"]
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={_PYTHON}", "--no-deps", "--no-compile"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options]
    command += [f"--platform={platform}" for platform in platforms]
    command += ["--require-hashes", f"--target={target}", f"--requirement={lock}"]

    def follow(line: str) -> None:
        if line.strip().startswith(("Collecting", "Downloading", "Installing")):
            progress.step(f"wheels: {line.strip()[:70]}")

    progress.step("fetching wheels")
    # Root's own pip would warn about running as root, which is harmless with --target.
    progress.run(command, env={"PIP_ROOT_USER_ACTION": "ignore"}, on_line=follow, timeout=900)


def _code(progress: Progress, cache: LayerCache, code: Path) -> Layer:
    with cache.lock("service-code", progress):
        key = _files_key(code)
        layer = cache.get("service-code", key)
        if not layer:
            progress.step("packing the code")
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="code-") as scratch:
                layer = cache.put("service-code", key, _code_tree(code, Path(scratch)))
    return layer


def _code_tree(code: Path, scratch: Path) -> Tree:
    """The code, compiled as well if this Python is of the image's release, so that a pod starts sooner."""
    tree = Tree()
    for file in _files(code):
        inside = Path("app", "service", file.relative_to(code))
        tree.file(str(inside), file)
        if file.suffix == ".py" and f"{sys.version_info.major}.{sys.version_info.minor}" == _PYTHON:
            compiled = scratch / inside.with_suffix(".pyc")
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(file), str(compiled), dfile=f"/{inside}", doraise=True, invalidation_mode=mode)
            name = f"{file.stem}.{sys.implementation.cache_tag}.pyc"
            tree.file(str(inside.parent / "__pycache__" / name), compiled)
    return tree


def _files(code: Path) -> list[Path]:
    """Everything but caches, hidden files, the development mode, and what describes the image itself."""
    return sorted(
        path
        for path in code.rglob("*")
        if path.is_file()
        and path.name not in _NOT_CODE
        and not any(part in ("__pycache__", "dev") or part.startswith(".") for part in path.relative_to(code).parts)
    )


def _files_key(code: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(code):
        digest.update(f"{file.relative_to(code)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
