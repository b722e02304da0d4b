"""The container engine of the machine, which builds the service's image."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.clusters.programs import answer
from local.jobs import Progress

ROOT: Final = Path(__file__).resolve().parents[2]
DOCKERFILE: Final = "service/Dockerfile"
BUILD_SECONDS: Final = 1800
PUSH_SECONDS: Final = 900
# `docker version` prints the client's version also where no engine answers; the server's needs the engine.
_ASK: Final = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "info", "--format", "{{.Version.Version}}"),
}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A container engine that answers."""

    program: str
    version: str

    def build(self, progress: Progress, reference: str) -> None:
        """Builds the service's image, unless the engine has it: the tag changes with the image's files.

        Raises:
            Failure: the build failed.
        """
        if answer((self.program, "image", "inspect", reference)) is not None:
            return
        progress.step("building the service's image")
        command = (self.program, "build", "--file", DOCKERFILE, "--tag", reference, ".")
        progress.run(command, cwd=ROOT, on_line=lambda line: progress.step(line.strip()[:70]), timeout=BUILD_SECONDS)

    def push(self, progress: Progress, reference: str) -> None:
        """Pushes an image to the registry of its reference.

        Raises:
            Failure: the registry refused it.
        """
        progress.step(f"pushing {reference}")
        progress.run((self.program, "push", reference), timeout=PUSH_SECONDS)

    @contextmanager
    def archive(self, progress: Progress, reference: str) -> Iterator[Path]:
        """An archive of an image, for programs that ask no engine but take a file; it ends with the block.

        Raises:
            Failure: the engine has no such image.
        """
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "image.tar")
            progress.run((self.program, "save", "--output", archive, reference), timeout=PUSH_SECONDS)
            yield archive


def find_engine() -> Engine | None:
    """Returns the engine that answers; Docker before Podman."""
    for program, question in _ASK.items():
        if version := (answer(question) or "").strip():
            return Engine(program=program, version=version)
    return None


def silent_engines() -> list[str]:
    """The engines whose client is on PATH."""
    return [program for program in _ASK if shutil.which(program)]
