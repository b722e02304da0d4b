"""A stack whose tasks are in a database of CloudNativePG, where its release is at hand: it survives a lost primary."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
import pytest

from contracts import endpoints
from contracts.services import SERVICES
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.settings import Settings, load
from stack.smoke.check import check
from tests.support.accepted_tasks import accepted_tasks
from tests.support.cloudnativepg import cloudnativepg_operator
from tests.support.second_stack import SMALL, SMALL_SECTIONS, configuration, deployed

pytestmark = pytest.mark.nightly

_NAME: Final = "database"
_NAMESPACE: Final = "tracing-database-test"
_TASKS: Final = 60
_PAUSE: Final = 0.2
_INSTANCES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The stack."""

    settings: Settings
    client: kubernetes.client.ApiClient

    def status(self) -> dict[str, Any]:
        """Return what the operator reports."""
        api = kubernetes.client.CustomObjectsApi(self.client)
        kind = ("postgresql.cnpg.io", "v1", _NAMESPACE, "clusters")
        status: dict[str, Any] = api.get_namespaced_custom_object(*kind, endpoints.POSTGRES)["status"]
        return status

    def is_whole(self) -> bool:
        """Whether the primary and all standbys are ready."""
        status = self.status()
        return bool((status["readyInstances"], status["phase"]) == (_INSTANCES, "Cluster in healthy state"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    client = connect(load("local").cluster)
    with cloudnativepg_operator(client, tmp_path_factory.mktemp("operator")) as image:
        sections = {
            **SMALL_SECTIONS,
            "probe": {"enabled": False},
            "postgres": {**SMALL, "volume": "1Gi", "cloudnativepg": {"image": image, "instances": _INSTANCES}},
        }
        with deployed(tmp_path_factory.mktemp("stack"), _NAME, configuration(_NAMESPACE, sections)) as settings:
            yield Stack(settings=settings, client=client)


def test_the_operator_runs_the_servers_and_the_smoke_check_passes(stack: Stack) -> None:
    # The deployment waits for the primary alone.
    poll_until("the primary and its standbys", stack.is_whole, seconds=120, every=1)
    stored = check(stack.settings).stored
    assert stored
    assert {hop.service for hop in stored.hops} >= {*SERVICES}


def test_a_standby_takes_over_when_the_primary_is_killed_and_no_accepted_task_is_lost(stack: Stack) -> None:
    core = kubernetes.client.CoreV1Api(stack.client)
    primary = stack.status()["currentPrimary"]
    with accepted_tasks(stack.settings) as tasks:
        for number in range(_TASKS):
            if number == _TASKS // 3:
                core.delete_namespaced_pod(primary, _NAMESPACE, grace_period_seconds=1)
            tasks.submit(number)
            time.sleep(_PAUSE)
        tasks.require_completed()
    assert stack.status()["currentPrimary"] != primary
    poll_until("the former primary as a standby", stack.is_whole, seconds=120, every=1)
