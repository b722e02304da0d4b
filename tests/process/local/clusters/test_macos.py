"""The commands of a user of macOS, in a Python that lacks what macOS lacks: system calls of Linux, /proc and /sys.

The kernel here is Linux, and Docker and kind are programs that stand in for them.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from contracts.metadata import LOCAL_CONTEXT
from local.images.service import service_reference

ROOT = Path(__file__).parents[4]
MACOS = """
import ctypes, os, platform, signal, sys

platform.system, platform.machine = lambda: "Darwin", lambda: "arm64"
for module, name in ((os, "pidfd_open"), (os, "sched_getaffinity"), (signal, "pidfd_send_signal")):
    delattr(module, name)


class Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("fallocate", "setns", "unshare", "umount2"):
            raise AttributeError(name)
        return super().__getattr__(name)


def refuse(event, arguments):
    path = arguments[0] if event in ("open", "os.listdir", "os.scandir") else ""
    if isinstance(path, str) and path.startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(path)


ctypes.CDLL = Library
sys.addaudithook(refuse)
"""
ENGINE = """#!/bin/sh
case "$1" in version) echo 28.2.2 ;; esac
"""
KIND = """#!/bin/sh
echo "$*" >> "{log}"
while [ $# -gt 0 ]; do [ "$1" = --kubeconfig ] && cp "{kubeconfig}" "$2"; shift; done
exit 0
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which Python is one of macOS, and finds Docker and kind."""
    programs = tmp_path / "bin"
    programs.mkdir()
    kubeconfig = tmp_path / "kubeconfig.yaml"
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig()))
    for name, text in {"docker": ENGINE, "kind": KIND.format(log=tmp_path / "kind", kubeconfig=kubeconfig)}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(MACOS)
    return {
        "HOME": str(tmp_path),
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "WEB_CRAWL_TRACING_HOME": str(tmp_path / "home"),
    }


def _kubeconfig() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "kind-web-crawl-tracing", "context": {"cluster": "c", "user": "u"}}],
    }


def _run(environment: dict[str, str], folder: Path, *command: str) -> str:
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_doctor_names_the_cluster_of_kind(environment: dict[str, str], tmp_path: Path) -> None:
    printed = _run(environment, tmp_path, "-m", "cli", "doctor")
    assert "Darwin arm64" in printed
    assert "would use a cluster of kind: kind is on PATH and docker 28.2.2 answers" in " ".join(printed.split())


def test_every_manifest_is_written(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    _run(environment, tmp_path, "-m", "cli", "render", "prod", "--output", str(file))
    kinds = {document["kind"] for document in yaml.safe_load_all(file.read_text()) if document}
    assert {"Deployment", "StatefulSet", "NetworkPolicy"} <= kinds


PREPARE = """
import pathlib, sys
from local.clusters import containers, target
from local.clusters.choice import Request, choose, look
for name in ("FOLDER", "KUBECONFIG", "FILE"):
    for module in (target, containers):
        if hasattr(module, name):
            setattr(module, name, pathlib.Path(sys.argv[1]) / getattr(module, name).name)
target.write.__defaults__ = (target.FILE,)
containers.write_overlay = lambda settings: print(settings["web-crawl-tracing:images"]["service"])
containers.prepare(choose(look(), Request()), nodes=None)
"""


def test_a_cluster_of_kind_gets_the_service_image_of_this_clone(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    printed = _run(environment, ROOT, "-c", PREPARE, str(folder))
    assert printed.splitlines()[0].startswith(service_reference().partition(":")[0])
    assert (tmp_path / "kind").read_text().splitlines()[-1].startswith("load image-archive")
    kubeconfig = yaml.safe_load((folder / "kubeconfig").read_text())
    assert kubeconfig["current-context"] == LOCAL_CONTEXT
