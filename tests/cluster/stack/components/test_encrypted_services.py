"""A running stack gets to encrypted services in steps, and back, while clients send requests."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import httpx
import pytest

from checks.chaos.cluster import LocalCluster
from checks.harness.traffic import Page, Traffic
from contracts import endpoints, http
from contracts.services import GATEWAY
from stack.components.encryption.settings import EncryptionValue
from stack.polling import poll_until
from stack.probe.request import own_page
from stack.settings import load
from tests.support.encrypted_services import deploy_step, restored_steps, taken_by_both
from tests.support.traced_requests import verified

pytestmark = pytest.mark.nightly

_RATE = 10.0
_STEPS: tuple[EncryptionValue, ...] = (False, "accepted", "preferred", True, "preferred", "accepted", False)
_TASK_SECONDS = 60


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with restored_steps():
        yield LocalCluster(load("local"))


def _traffic(cluster: LocalCluster, *, encrypted: bool, page: str) -> Traffic:
    """Requests over connections that are kept."""
    address = cluster.address(GATEWAY)
    transport = verified(cluster) if encrypted else None
    url = endpoints.url(address, endpoints.SERVICE_PORT, encrypted=encrypted)
    return Traffic(url, _RATE, choose=lambda: Page(user="traffic@example.com", url=page), transport=transport)


def test_no_request_fails_on_the_way_to_tls_and_back(cluster: LocalCluster) -> None:
    created: list[str] = []
    for current, following in pairwise(_STEPS):
        clients = taken_by_both(current, following)
        page = own_page(encrypted=True in (current, following))
        with ExitStack() as sending:
            traffics = [sending.enter_context(_traffic(cluster, encrypted=it, page=page)) for it in clients]
            deploy_step(following)
        for traffic in traffics:
            assert not traffic.failures, f"{current} → {following}: {traffic.failures[:3]} of {traffic.answers}"
            assert traffic.created
            created += traffic.created
    gateway = endpoints.url(cluster.address(GATEWAY), endpoints.SERVICE_PORT)
    with httpx.Client(base_url=gateway, timeout=10) as client:
        poll_until(
            "the tasks to be completed",
            lambda: {client.get(f"{http.TASKS}/{task}").json()["status"] for task in created} == {"completed"},
            seconds=_TASK_SECONDS,
            every=2,
        )
