"""The tiers: `unit` starts no process, `process` starts real programs, `cluster` needs the local cluster.

The folder below `tests/` decides; the marker follows from it.
"""

import gc
from pathlib import Path

import pytest

from tests.support.profiles import load_profile

# The imports of a collection make much that stays and nothing to collect.
gc.disable()
load_profile()

pytest_plugins = ("tests.support.service",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    for item in items:
        item.add_marker(item.path.relative_to(root).parts[0])


def pytest_collection_finish() -> None:
    """Excludes the imported modules from garbage collection, since they stay until the end."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)
