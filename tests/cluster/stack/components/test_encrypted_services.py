"""A running stack gets to encrypted services in steps, and back, while clients send requests."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import httpx
import pytest

from checks.chaos.cluster import LocalCluster
from checks.harness.traffic import Page, Traffic
from checks.rollouts.command import restore_stack
from checks.rollouts.scenario import changed_settings
from contracts import endpoints, http
from contracts.metadata import AUTHORITY, AUTHORITY_FILE, Manifest, encryption_step
from contracts.services import GATEWAY
from stack.components.encryption.settings import STEPS, EncryptionValue, setting_text
from stack.kubernetes.client import connect
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object
from stack.polling import poll_until
from stack.probe.request import own_page
from stack.settings import ROOT, load

pytestmark = pytest.mark.nightly

_RATE = 10.0
_STEPS: tuple[EncryptionValue, ...] = (False, "accepted", "preferred", True, "preferred", "accepted", False)
_TASK_SECONDS = 60


class _Verified(httpx.HTTPTransport):
    """Reaches the gateway by an address, and verifies that it is the gateway."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": GATEWAY}
        return super().handle_request(request)


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    cluster = LocalCluster(load("local"))
    yield cluster
    # A test that failed on the way left the stack at a step.
    values = list(STEPS)
    for value in reversed(values[1 : values.index(_current(cluster))]):
        _deploy(value)
    restore_stack()


def _current(cluster: LocalCluster) -> EncryptionValue:
    authority = _authority(cluster)
    text = authority["metadata"]["annotations"][encryption_step("services")] if authority else setting_text(False)
    return next(value for value in STEPS if setting_text(value) == text)


def _authority(cluster: LocalCluster) -> Manifest | None:
    return read_object(connect(cluster.settings.cluster), cluster.namespace, ObjectKey("v1", "ConfigMap", AUTHORITY))


def _deploy(value: EncryptionValue) -> None:
    with changed_settings(encryption={"services": value}):
        command = [sys.executable, "-m", "cli", "deploy", "local", "--no-smoke"]
        subprocess.run(command, cwd=ROOT, check=True)


def _traffic(cluster: LocalCluster, *, encrypted: bool, page: str) -> Traffic:
    """Requests over connections that are kept."""
    address = cluster.address(GATEWAY)
    transport = None
    if encrypted:
        authority = _authority(cluster)
        assert authority
        transport = _Verified(verify=ssl.create_default_context(cadata=authority["data"][AUTHORITY_FILE]))
    url = endpoints.url(address, endpoints.SERVICE_PORT, encrypted=encrypted)
    return Traffic(url, _RATE, choose=lambda: Page(user="traffic@example.com", url=page), transport=transport)


def test_no_request_fails_on_the_way_to_tls_and_back(cluster: LocalCluster) -> None:
    created: list[str] = []
    for current, following in pairwise(_STEPS):
        steps = {current, following}
        # The pods of both steps take what is sent.
        clients = [False] if False in steps else [True] if True in steps else [False, True]
        page = own_page(encrypted=True in steps)
        with ExitStack() as sending:
            traffics = [sending.enter_context(_traffic(cluster, encrypted=it, page=page)) for it in clients]
            _deploy(following)
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
