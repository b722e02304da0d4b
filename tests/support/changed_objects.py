"""Objects of Kubernetes 1.35, changed by hand, each with the API server's answer to the program's dry run."""

import json
from functools import cache
from pathlib import Path

from contracts.metadata import Manifest


@cache
def changed_objects() -> dict[str, dict[str, Manifest]]:
    """By name: the object as it is (`live`), and as it would be (`applied`)."""
    objects: dict[str, dict[str, Manifest]] = json.loads(Path(__file__).with_suffix(".json").read_text())
    return objects
