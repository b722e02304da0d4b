"""The order of the files: with several workers the longest begin first, so that none of them is the last to end."""

from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parent
LONGEST: Final = (
    "dashboards/rules/test_alerts.py",
    "checks/verdicts/test_simulation.py",
    "stack/components/kafka/test_proxy.py",
    "stack/components/loki/test_object_storage.py",
    "stack/components/kafka/test_brokers.py",
    "stack/components/kafka/test_encryption.py",
    "stack/components/loki/test_encryption.py",
    "lean_tracing/test_distribution.py",
    "lean_tracing/native/test_memory.py",
    "checks/bench/test_bench.py",
    "stack/components/kafka/test_external.py",
    "lean_tracing/test_add_tracing_guide.py",
    "service/test_stopping.py",
    "stack/components/alertmanager/test_notifications.py",
    "service/common/kafka/test_poison_messages.py",
    "service/test_processes.py",
    "stack/components/kafka/test_killed_sampler.py",
    "stack/components/loki/test_lines.py",
    "collector/test_running.py",
    "lean_tracing/test_children.py",
    "dashboards/test_catalog.py",
    "stack/deploy/test_manifests.py",
    "stack/components/trace_store/test_jaeger.py",
    "service/task_manager/test_outages.py",
    "service/dev/test_dev.py",
)
"""Files whose tests take more than about 10 s in all, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests of the longest files to the front; a file's tests keep their order."""
    ranks = {_ROOT / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
