"""Bills of materials in CycloneDX: of the Python environment, and of the services' image that this machine builds."""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from checks.harness.tools import output_of
from local.images.cache import LayerCache
from local.images.debian import BASE, PYTHON
from local.images.service import service_reference
from local.paths import Home
from stack.polling import CheckFailure
from stack.settings import ROOT

_PINNED: Final = re.compile(r"^([\w.-]+)==(\S+?)(?: ;.*)? \\$", re.MULTILINE)
_RELEASE: Final = "debian-12"


def environment(cyclonedx: Path) -> dict[str, Any]:
    """Return the bill of the environment that runs this program."""
    options = ["--output-reproducible", f"--pyproject={ROOT / 'pyproject.toml'}"]
    bill: dict[str, Any] = json.loads(output_of([cyclonedx, "environment", *options, sys.executable]))
    _require_all(bill, ROOT / "requirements.lock")
    return bill


def service_image(cyclonedx: Path) -> dict[str, Any]:
    """Return the bill of the services' image: the pinned packages of Python, and Debian's if this machine built it."""
    lock = ROOT / "service" / "requirements.lock"
    bill: dict[str, Any] = json.loads(output_of([cyclonedx, "requirements", "--output-reproducible", lock]))
    _require_all(bill, lock)
    repository, _, tag = service_reference().rpartition(":")
    image = {"type": "container", "bom-ref": repository, "name": repository, "version": tag}
    bill["metadata"] = {**bill.get("metadata", {}), "component": image}
    bill["components"] += debian_components(LayerCache(Home.default().images).directory / "apt")
    return bill


def debian_components(lists: Path) -> list[dict[str, Any]]:
    """Return the packages of the image's lower layers; empty if this machine has not built them.

    lists: folder of the files that `local/images/debian.py` writes, each line like `libc6_2.36-9_amd64.deb`.
    """
    files = [lists / f"{packages.name}.packages" for packages in (BASE, PYTHON)]
    names = sorted({line for file in files if file.exists() for line in file.read_text().split()})
    return [_debian_component(*name.removesuffix(".deb").split("_")) for name in names]


def _debian_component(name: str, version: str, architecture: str) -> dict[str, Any]:
    # A purl has the escapes of a URL, and apt writes the colon of an epoch as %3a.
    purl = f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace('+', '%2B')}"
    purl = f"{purl}?arch={architecture}&distro={_RELEASE}"
    plain = version.replace("%3a", ":")
    return {"type": "library", "bom-ref": purl, "name": name, "version": plain, "purl": purl}


def pinned(lock: str) -> dict[str, str]:
    """Return the versions of a lock file by name in lower case."""
    return {name.lower(): version for name, version in _PINNED.findall(lock)}


def _require_all(bill: dict[str, Any], lock: Path) -> None:
    listed = {item["name"].lower(): item.get("version") for item in bill.get("components", ())}
    both = pinned(lock.read_text())
    shared = {name for name in both if name in listed}
    wrong = [
        f"{name} {both[name]} is listed as {listed[name]}" for name in sorted(shared) if listed[name] != both[name]
    ]
    # A package for another platform is pinned and not installed.
    if wrong or len(shared) < 0.9 * len(both):
        raise CheckFailure(f"the bill has {len(shared)} of the {len(both)} packages of {lock.name}; {'; '.join(wrong)}")
