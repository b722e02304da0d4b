"""A stack whose servers have certificates of cert-manager, where its controller is on PATH: they are renewed in use."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import kubernetes
import pytest

from checks.rotation.certificates import renew_certificates
from contracts.services import SERVICES
from stack.kubernetes.certificates import issued_secrets
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import Settings, load
from stack.settings.certificates import certified
from stack.smoke.check import check
from tests.support.accepted_tasks import accepted_tasks
from tests.support.cert_manager import authority, cert_manager
from tests.support.local_stack import stores_of_the_local_stack
from tests.support.second_stack import SMALL, SMALL_SECTIONS, configuration, deployed

pytestmark = pytest.mark.nightly

_NAME: Final = "issued"
_NAMESPACE: Final = "tracing-issuer-test"
_ISSUER: Final = "issuer-test"
_TASKS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The stack."""

    settings: Settings
    client: kubernetes.client.ApiClient

    def restarts(self) -> int:
        """Return how often its containers have ended."""
        pods = kubernetes.client.CoreV1Api(self.client).list_namespaced_pod(_NAMESPACE).items
        statuses = [pod.status for pod in pods]
        containers = [
            item
            for status in statuses
            for item in [*(status.container_statuses or []), *(status.init_container_statuses or [])]
        ]
        return sum(item.restart_count for item in containers)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    client = connect(load("local").cluster)
    with cert_manager(client, tmp_path_factory.mktemp("cert-manager")), authority(client, _ISSUER) as pem:
        sections = {
            **SMALL_SECTIONS,
            "postgres": {**SMALL, "volume": "1Gi"},
            "encryption": {
                **dict.fromkeys(("postgres", "kafka", "telemetry"), True),
                "services": "preferred",  # the tasks' page is at the gateway, in clear
                "issuer": {"name": _ISSUER, "authority": pem, "hours": 24},
            },
        }
        # The Secrets of cert-manager do not keep the namespace.
        with deployed(tmp_path_factory.mktemp("stack"), _NAME, configuration(_NAMESPACE, sections)) as settings:
            yield Stack(settings=settings, client=client)


def test_the_servers_have_what_cert_manager_made_and_the_smoke_check_passes(stack: Stack) -> None:
    made = {item["metadata"]["name"] for item in issued_secrets(stack.client, _NAMESPACE)}
    assert made == {item.secret for item in certified(stack.settings) if item.is_issued}
    stored = check(stack.settings).stored
    assert stored
    assert {hop.service for hop in stored.hops} >= {*SERVICES}


def test_renewed_certificates_are_shown_without_a_restart_and_no_accepted_task_is_lost(stack: Stack) -> None:
    baseline = stack.restarts()
    with accepted_tasks(stack.settings) as tasks:
        for number in range(_TASKS):
            tasks.submit(number)
        renew_certificates(stack.settings, outside=stores_of_the_local_stack())
        for number in range(_TASKS, 2 * _TASKS):
            tasks.submit(number)
        tasks.require_completed()
    assert stack.restarts() == baseline
    poll_until("the smoke check to pass again", lambda: check(stack.settings).stored, seconds=120, every=5)
