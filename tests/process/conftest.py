"""Which worker runs which file, and when."""

from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_ROOT: Final = Path(__file__).parent
LONGEST: Final = (
    "dashboards/rules/test_alerts.py",
    "checks/verdicts/test_simulation.py",
    "stack/components/loki/test_encryption.py",
    "stack/components/kafka/test_encryption.py",
    "stack/components/kafka/test_proxy.py",
    "stack/deploy/test_brokers.py",
    "stack/components/alertmanager/test_encryption.py",
    "checks/bench/test_bench.py",
    "stack/components/kafka/test_brokers.py",
    "stack/components/alertmanager/test_notifications.py",
    "stack/components/kafka/test_external.py",
    "stack/components/prometheus/test_replicas.py",
    "service/gateway/test_access.py",
    "stack/components/kafka/test_issuer.py",
    "stack/components/kafka/test_killed_sampler.py",
    "service/test_stopping.py",
    "stack/smoke/test_acknowledged.py",
    "collector/test_queue_reserve.py",
    "stack/components/prometheus/test_agent.py",
    "service/common/kafka/test_poison_messages.py",
    "lean_tracing/test_add_tracing_guide.py",
    "service/dev/test_dev.py",
    "stack/components/encryption/test_proxy.py",
    "service/test_processes.py",
    "checks/bench/test_path.py",
    "stack/deploy/test_manifests.py",
    "stack/rollout/test_requests.py",
    "local/test_policies.py",
    "collector/test_running.py",
    "stack/components/loki/test_lines.py",
    "stack/components/postgres/test_encryption.py",
    "checks/security/test_hostile.py",
    "lean_tracing/test_children.py",
    "lean_tracing/test_hostile_receivers.py",
    "checks/coverage/test_secure_kafka.py",
    "service/task_manager/test_forget.py",
    "service/task_manager/test_outages.py",
    "collector/test_request_sizes.py",
    "lean_tracing/test_distribution.py",
    "lean_tracing/native/test_memory.py",
    "dashboards/test_catalog.py",
)
"""Files whose tests take more than about 15 s in all, the longest first: none of them shall be the last to end."""
SHARING: Final = (
    "stack/components/grafana/test_sidecar.py",
    "stack/deploy/test_admission.py",
    "stack/deploy/test_brokers.py",
    "stack/deploy/test_drift.py",
    "stack/deploy/test_encryption_steps.py",
    "stack/deploy/test_namespace.py",
    "stack/deploy/test_plain_pulumi.py",
    "stack/deploy/test_queues.py",
    "stack/deploy/test_real_pulumi.py",
    "stack/explain/test_changes.py",
    "stack/kubernetes/test_autoscaling.py",
    "stack/kubernetes/test_dry_run.py",
    "stack/kubernetes/test_field_owners.py",
    "stack/kubernetes/test_volumes.py",
    "stack/test_access.py",
)
"""Files whose tests share the API server of `stack/conftest.py`. A worker runs all of them: with one each, all workers
would start a Kubernetes, which also works while no test uses it."""


class _Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests stay together, since they share its fixtures."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "API server" if file.endswith(SHARING) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Returns the scheduler of `--dist=loadfile`."""
    return _Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests of the longest files to the front; a file's tests keep their order."""
    ranks = {_ROOT / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
