"""Three real Alertmanagers that know each other by certificates: who gets in, and what a renewal changes."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from checks.harness.ports import free_port
from contracts import endpoints
from stack.components.alertmanager.component import cluster_tls
from stack.components.alertmanager.config import alertmanager_config
from stack.components.alertmanager.settings import Alerting
from stack.components.encryption.authority import Authority
from stack.polling import poll_until
from tests.support.alertmanager_process import (
    AlertmanagerProcess,
    Receiver,
    alert,
    peer_arguments,
    receiving_notifications,
)
from tests.support.peers import SEED, PeerFiles, is_refused, served_serial_number

NUMBER = 3
MEMBERS = "alertmanager_cluster_members"


@pytest.fixture
def files(tmp_path: Path) -> PeerFiles:
    return PeerFiles(tmp_path / "peers", endpoints.ALERTMANAGER)


class Cluster:
    """Alertmanagers with the stack's configuration, on ports of this machine."""

    def __init__(self, folder: Path, files: PeerFiles, receiver: Receiver, *, encrypted: bool) -> None:
        alerting = Alerting.model_validate({"replicas": NUMBER, "page": {"webhook": True}})
        self._routes = alertmanager_config(alerting)
        self._routes["route"]["routes"][0] |= {"group_wait": "1s", "group_interval": "1s"}
        self._secrets = {"alertPageWebhookUrl": f"{receiver.url}/page"}
        self._folder = folder
        self.files = files
        self.ports = [free_port() for _ in range(NUMBER)]
        self.members = [
            self.process(str(number), [*peer_arguments(self.ports, number), *(self.tls(files) if encrypted else [])])
            for number in range(NUMBER)
        ]

    def process(self, name: str, cluster: list[str]) -> AlertmanagerProcess:
        """Returns an Alertmanager that finds others by these arguments."""
        return AlertmanagerProcess(self._folder / name, self._routes, self._secrets, cluster)

    def tls(self, files: PeerFiles) -> list[str]:
        """Returns the arguments with which an Alertmanager uses TLS."""
        file = files.folder / "cluster-tls.yml"
        file.write_text(yaml.safe_dump(cluster_tls(files.tls)))
        return [f"--cluster.tls-config={file}"]

    def intruder(self, name: str, *further: str) -> AlertmanagerProcess:
        """Returns an Alertmanager that is no member, and asks each of them to let it join."""
        own = free_port()
        arguments = [item for item in peer_arguments(self.ports, 0) if item.startswith("--cluster.peer=")]
        addresses = [f"--cluster.{kind}-address=127.0.0.1:{own}" for kind in ("listen", "advertise")]
        return self.process(name, [*addresses, *arguments, *further])

    def wait_for_all(self) -> None:
        """Returns when each knows the others."""
        poll_until("cluster", lambda: all(it.metric(MEMBERS) == NUMBER for it in self.members), seconds=60)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving_notifications() as receiver:
        yield receiver


@pytest.fixture
def cluster(files: PeerFiles, receiver: Receiver, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, files, receiver, encrypted=True)
    try:
        for member in made.members:
            member.start()
        made.wait_for_all()
        yield made
    finally:
        for member in made.members:
            member.kill()


def is_known_to_all(cluster: Cluster, service: str) -> bool:
    return all(service in member.silenced() for member in cluster.members)


def test_they_share_silences_over_tcp_alone(cluster: Cluster, receiver: Receiver) -> None:
    cluster.members[0].silence("quiet")
    poll_until("the silence", lambda: is_known_to_all(cluster, "quiet"))
    for member in cluster.members:
        member.post(alert("ServiceDown", "page", service="gateway"), alert("ServiceDown", "page", service="quiet"))
    poll_until("the page", lambda: receiver.bodies("/page"))
    assert {body["groupLabels"]["service"] for body in receiver.bodies("/page")} == {"gateway"}
    for port in cluster.ports:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as datagrams:
            datagrams.bind(("127.0.0.1", port))  # no program receives datagrams


def test_a_program_without_their_certificate_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    name = endpoints.ALERTMANAGER
    others = [
        PeerFiles(tmp_path / "of another seed", name, Authority(SEED + ".", f"{name}-peers")),
        PeerFiles(tmp_path / "of the stack", name, Authority(SEED)),
    ]
    for port in cluster.ports:
        address = ("127.0.0.1", port)
        assert served_serial_number(address, cluster.files.client(), name) == cluster.files.serial_number()
        assert is_refused(address, cluster.files.client(certificate=False), name)
        assert all(is_refused(address, other.client(), name) for other in others)


@pytest.mark.parametrize("encrypted", [False, True])
def test_another_alertmanager_does_not_join(cluster: Cluster, tmp_path: Path, *, encrypted: bool) -> None:
    foreign = PeerFiles(tmp_path / "foreign", endpoints.ALERTMANAGER, Authority(SEED))
    intruder = cluster.intruder("intruder", *(cluster.tls(foreign) if encrypted else []))
    cluster.members[0].silence("secret")
    intruder.start()
    try:
        intruder.silence("planted")
        cluster.members[0].silence("later")
        poll_until("a silence of a member", lambda: is_known_to_all(cluster, "later"))
        time.sleep(12)  # it tries again after 10 s
        assert intruder.metric(MEMBERS) == 1
        assert intruder.silenced() == {"planted"}
        for member in cluster.members:
            assert member.metric(MEMBERS) == NUMBER
            assert member.silenced() == {"secret", "later"}
    finally:
        intruder.kill()


def test_a_renewed_certificate_is_used_without_a_restart(cluster: Cluster) -> None:
    name, client = endpoints.ALERTMANAGER, cluster.files.client()
    pids, previous = [member.pid for member in cluster.members], cluster.files.serial_number()
    cluster.members[0].silence("before")
    cluster.files.renew(periods=-1)  # the earlier one is still valid, a later one is not yet
    assert cluster.files.serial_number() != previous
    for port in cluster.ports:  # also a client with the certificate of before
        assert served_serial_number(("127.0.0.1", port), client, name) == cluster.files.serial_number()
    cluster.members[1].silence("after")
    poll_until("both silences", lambda: all({"before", "after"} <= it.silenced() for it in cluster.members))
    assert [member.pid for member in cluster.members] == pids
    cluster.members[2].kill()
    cluster.members[0].silence("meanwhile")
    cluster.members[2].start()
    cluster.wait_for_all()
    poll_until("all silences", lambda: is_known_to_all(cluster, "meanwhile"))


def test_a_running_cluster_that_gets_tls_keeps_its_silences_and_sends_each_alert(
    files: PeerFiles, receiver: Receiver, tmp_path: Path
) -> None:
    """One after the other is replaced, the last one first, as a StatefulSet does it."""
    cluster = Cluster(tmp_path, files, receiver, encrypted=False)
    try:
        for member in cluster.members:
            member.start()
        cluster.wait_for_all()
        cluster.members[0].silence("before")
        poll_until("the silence", lambda: is_known_to_all(cluster, "before"))
        for number in reversed(range(NUMBER)):
            member = cluster.members[number]
            member.stop()
            member.set_cluster([*peer_arguments(cluster.ports, number), *cluster.tls(files)])
            member.start()
            member.silence(f"meanwhile-{number}")
            for each in cluster.members:
                each.post(alert(f"Alert{number}", "page", service=f"service-{number}"))
        cluster.wait_for_all()
        expected = {"before", *(f"meanwhile-{number}" for number in range(NUMBER))}
        poll_until("all silences", lambda: all(it.silenced() == expected for it in cluster.members), seconds=90)
        alerts = {f"Alert{number}" for number in range(NUMBER)}
        poll_until("each alert", lambda: set().union(*receiver.names("/page")) == alerts, seconds=90)
    finally:
        for member in cluster.members:
            member.kill()
