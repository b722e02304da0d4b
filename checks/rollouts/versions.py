"""Versions of the services for the rollouts: the current code with an addition to one module."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from local.images.cache import LayerCache
from local.images.node import LocalNode
from local.images.service import ROOT, service_image, service_reference
from local.jobs import Progress
from local.paths import Home

_BEFORE_EACH_REQUEST: Final = """

_kept = []
_whole = BodyLimits


def BodyLimits(app):
    inner = _whole(app)

    async def around(scope, receive, send):
        if scope["type"] == "http" and not scope["path"].startswith(("/api/health", "/api/metrics")):
            {what}
        await inner(scope, receive, send)

    return around
"""
_APPLICATION: Final = "service/common/application.py"

FAULTS: Final = {
    "good": (_APPLICATION, "\n# The same, under another name.\n"),
    "errors": (
        _APPLICATION,
        "\nimport random\n"
        + _BEFORE_EACH_REQUEST.format(
            what='if random.random() < 0.05:\n                raise RuntimeError("a bad version")'
        ),
    ),
    "slow": (_APPLICATION, _BEFORE_EACH_REQUEST.format(what="await asyncio.sleep(0.05)")),
    "leak": (_APPLICATION, _BEFORE_EACH_REQUEST.format(what='_kept.append(b"x" * 1_000_000)')),
    # Lost without being counted as dropped.
    "lost-spans": (
        "lean_tracing/batch_processor.py",
        "\nimport random\n\n_whole = BatchProcessor.put\n"
        "BatchProcessor.put = lambda self, item: None if random.random() < 0.3 else _whole(self, item)\n",
    ),
}
"""Name → the changed module, and the code that is added to it."""


def build(name: str, progress: Progress) -> str:
    """Builds a version's image and loads it into the local node; returns its reference."""
    module, text = FAULTS[name]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch)
        for package in ("service", "lean_tracing", "contracts", "dashboards", "stack"):
            shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
        with (source / module).open("a") as file:
            file.write(text)
        return image_of(source, progress)


def image_of(source: Path, progress: Progress) -> str:
    """Builds the image of a checkout's services and loads it into the local node; returns its reference."""
    home = Home.default()
    LocalNode(home).load(progress, service_image(progress, LayerCache(home.images), source))
    return service_reference(source)
