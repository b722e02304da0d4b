"""Keeps `contracts/digests.json`: the digests of the images that the stack pulls."""

import json
from collections.abc import Iterable
from pathlib import Path

import httpx

from contracts import digests
from contracts.versions import IMAGES
from local.failure import Failure
from local.files import write_text
from local.images.registry import digest


def update(references: Iterable[str] = tuple(IMAGES.values()), file: Path = digests.FILE) -> None:
    """Write the digests of these images, and of no others; print what has changed.

    Raises:
        Failure: a registry does not answer; the file is unchanged.
    """
    recorded, now = digests.recorded(file), _resolved(references)
    for reference, value in now.items():
        state = "unchanged" if recorded.get(reference) == value else "changed" if reference in recorded else "new"
        print(f"{state:<10} {reference} {value}")
    write_text(file, f"{json.dumps(now, indent=2, sort_keys=True)}\n")


def verify(references: Iterable[str] = tuple(IMAGES.values()), file: Path = digests.FILE) -> None:
    """Compare the file with the registries.

    Raises:
        Failure: names each image without a digest, and each tag that names another image than the recorded one.
    """
    recorded = digests.recorded(file)
    if not recorded:
        print("no digest is recorded; `make digests` records what the registries have")
        return
    now = _resolved(references)
    problems = [
        f"{reference} is {value}, recorded is {recorded.get(reference, 'nothing')}"
        for reference, value in now.items()
        if recorded.get(reference) != value
    ]
    if problems:
        raise Failure("\n".join([*problems, "`make digests` records what the registries have."]))


def _resolved(references: Iterable[str]) -> dict[str, str]:
    with httpx.Client(timeout=30, follow_redirects=True) as client:
        return {reference: digest(reference, client) for reference in sorted(references)}
