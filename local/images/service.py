"""The services' image: Debian's Python, the locked wheels, and the code on top, so that code changes are small.

The native part of the tracing library is compiled if this machine can do it; otherwise the services run without it.
"""

import ast
import functools
import hashlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from contracts.versions import SERVICE_REPOSITORY
from local.archive import Image, Layer, Tree, architecture
from local.failure import Failure
from local.images.cache import LayerCache
from local.images.debian import PYTHON, Debian, compile_python
from local.jobs import Progress
from local.native_part import CompilationError, compile_native_part

ROOT = Path(__file__).resolve().parents[2]

_RECIPE = 2  # raise it when this module makes another image from the same inputs
_PYTHON = "3.11"  # Debian 12's
_SITE = "usr/local/lib/python3.11/dist-packages"  # where Debian's Python looks by itself
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SHARED = ("contracts", "dashboards", "stack")
_PROGRAMS = ("stack/rollout/__main__.py",)
_NOT_CODE = (
    "CHANGELOG.md", "Dockerfile", "LICENSE", "README.md", "pyproject.toml", "requirements.in", "requirements.lock",
)  # fmt: skip
_SOURCES_IN_C = (".c", ".h")
_GLIBC = range(17, 37)  # manylinux_2_17 to Debian 12's glibc 2.36


def service_reference(source: Path = ROOT) -> str:
    """The image's reference: its tag changes with the code, the locked wheels and the layers below them.

    source: a checkout, with the folders `service`, `lean_tracing`, `contracts`, `dashboards` and `stack`.
    """
    digest = hashlib.sha256(f"{wheels_key(source)} {_files_key(source)}".encode()).hexdigest()
    return f"{SERVICE_REPOSITORY}:{digest[:12]}"


def service_image(progress: Progress, cache: LayerCache, source: Path = ROOT) -> Image:
    """Makes the layers that the cache lacks: after a change of code only the top layer."""
    return Image(
        reference=service_reference(source),
        layers=(
            *Debian(cache).layers(progress, PYTHON),
            _wheels(progress, cache, source),
            _code(progress, cache, source),
        ),
        environment={"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        user="10001:10001",
        working_directory="/app",
    )


def wheels_key(source: Path = ROOT) -> str:
    """The key of the layer of wheels."""
    lock = _lock(source)
    if not lock.exists():
        raise Failure(f"{lock} is missing: the service's image is made from the wheels that it pins.")
    described = f"{_RECIPE} {Debian(LayerCache()).key(PYTHON)} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    return hashlib.sha256(described.encode()).hexdigest()


def _lock(source: Path) -> Path:
    return source / "service" / "requirements.lock"


def _wheels(progress: Progress, cache: LayerCache, source: Path) -> Layer:
    with cache.lock("wheels", progress):
        key = wheels_key(source)
        layer = cache.get("service-wheels", key)
        if not layer:
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="wheels-") as scratch:
                root = Path(scratch)
                Debian(cache).unpack(progress, PYTHON, root)
                target = root / _SITE
                _install(progress, _lock(source), target)
                _remove_scripts(target)
                progress.step("compiling the wheels")
                compile_python(progress, root, _SITE)
                tree = Tree()
                tree.copy(target, _SITE)
                layer = cache.put("service-wheels", key, tree)
    return layer


def _install(progress: Progress, lock: Path, target: Path) -> None:
    """Installs wheels for the image's Python, which need not be the one that runs this program."""
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


def _remove_scripts(target: Path) -> None:
    """Remove the scripts of packages, and the lines about them: they name this machine's Python."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../../bin/")))


def _code(progress: Progress, cache: LayerCache, source: Path) -> Layer:
    with cache.lock("service-code", progress):
        key = _files_key(source)
        layer = cache.get("service-code", key)
        if not layer:
            progress.step("packing the code")
            with tempfile.TemporaryDirectory(dir=cache.scratch(), prefix="code-") as scratch:
                layer = cache.put("service-code", key, _code_tree(progress, source, Path(scratch)))
    return layer


def _code_tree(progress: Progress, source: Path, scratch: Path) -> Tree:
    """The code. If this Python is of the image's release, its byte code and its native part too."""
    tree = Tree()
    for file in code_files(source):
        inside = Path("app", file.relative_to(source))
        (scratch / inside.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, scratch / inside)
    if f"{sys.version_info.major}.{sys.version_info.minor}" == _PYTHON:
        # In a process of its own: what a process has imported changes the byte code that it writes.
        compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        progress.run([*compiling, "-s", scratch, "-p", "/", scratch / "app"], env={"PYTHONHASHSEED": "0"})
        _compile_native_part(progress, scratch / "app" / "lean_tracing" / "native")
    for path in sorted(scratch.rglob("*")):
        if path.is_file() and path.suffix not in _SOURCES_IN_C:
            tree.file(str(path.relative_to(scratch)), path)
    return tree


def _compile_native_part(progress: Progress, folder: Path) -> None:
    """Compiles it where its sources are; a machine without a compiler makes an image that works all the same."""
    if not folder.is_dir():  # an earlier release, from which an upgrade is tried
        return
    try:
        compile_native_part(folder, folder)
    except CompilationError as error:
        progress.note(f"the services run without the native part of their tracing: {error}")


def code_files(source: Path) -> list[Path]:
    """The files of the image's code, without those that describe the image itself.

    Of `service` and the tracing library all but caches, hidden files and the development mode; of `stack` the probe,
    the publisher, what writes Kafka's users, and the judge of a rollout; and the modules of `contracts`, `dashboards`
    and `stack` that these import.
    """
    names = ("service", "lean_tracing", "stack/probe", "stack/publisher", "stack/kafka_users")
    folders = [source / name for name in names]
    own = [file for folder in folders for file in _files_below(folder)]
    own += [file for name in _PROGRAMS if (file := source / name).is_file()]
    return sorted({*own, *_imported_by(own, source)})


def _files_below(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not _is_about_the_image(path)
        and not any(part in ("__pycache__", "dev") or part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _is_about_the_image(path: Path) -> bool:
    # A distribution's setup.py is next to its pyproject.toml; elsewhere, it is a module like any other.
    return path.name in _NOT_CODE or (path.name == "setup.py" and (path.parent / "pyproject.toml").is_file())


def _imported_by(files: Sequence[Path], source: Path) -> set[Path]:
    """The shared modules in the checkout `source` that these files import, directly or not."""
    modules: set[Path] = set()
    unread = [file for file in files if file.suffix == ".py"]
    while unread:
        for path in _modules(_shared_names(unread.pop().read_bytes()), source) - modules:
            modules.add(path)
            unread.append(path)
    return modules


@functools.cache
def _shared_names(code: bytes) -> frozenset[str]:
    """The modules of `_SHARED` that a module imports, with the names that it takes from them: they may be modules too.

    The same code is read several times in a run: each of its names takes part in the reference of the image.
    """
    names: set[str] = set()
    for node in _statements(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _SHARED:
            names.update(itertools.accumulate(str(node.module).split("."), "{}.{}".format))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements below a node. Expressions, which are most of the tree, have no imports."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
            yield child
            yield from _statements(child)


def _modules(names: Iterable[str], source: Path) -> set[Path]:
    paths = (source.joinpath(*name.split(".")) for name in names)
    files = (file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py"))
    return {file for file in files if file.is_file()}


def _files_key(source: Path) -> str:
    digest = hashlib.sha256()
    for file in code_files(source):
        digest.update(f"{file.relative_to(source)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
