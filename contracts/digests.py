"""Digests of the images that come from registries: `contracts/digests.json`, which `make digests` writes."""

import json
import re
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("digests.json")
FORM: Final = re.compile(r"sha256:[0-9a-f]{64}")


def recorded(file: Path = FILE) -> dict[str, str]:
    """Return the digests by reference (`docker.io/grafana/loki:3.7.8` → `sha256:…`)."""
    content: dict[str, str] = json.loads(file.read_text())
    return content


def with_digest(reference: str, digests: dict[str, str]) -> str:
    """Return the reference with its digest, which decides on the image; unchanged if none is recorded."""
    digest = digests.get(reference)
    return f"{reference}@{digest}" if digest else reference
