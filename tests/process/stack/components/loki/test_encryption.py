"""Three real Lokis that know each other by certificates: who gets in, and what a renewal or a switch changes."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from checks.harness.http import CLIENT
from contracts import endpoints
from stack.components.encryption.authority import Authority
from stack.polling import poll_until
from tests.support.loki_process import LokiProcess, otlp
from tests.support.loki_ring import Member, knows_three, loki_ring
from tests.support.object_storage import Storage, object_storage
from tests.support.peers import SEED, PeerFiles, is_refused, served_serial_number
from tests.support.writer import Writer

HOUR: Final = 3600 * 10**9
PORTS: Final = (endpoints.LOKI_GRPC_PORT, endpoints.LOKI_GOSSIP_PORT)
RENEWED_WITHIN: Final = 60
LABEL: Final = "gateway"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with object_storage(tmp_path / "storage") as storage:
        yield storage


@pytest.fixture
def files(tmp_path: Path) -> PeerFiles:
    return PeerFiles(tmp_path / "peers", endpoints.LOKI)


@pytest.fixture(scope="module")
def shared_files(tmp_path_factory: pytest.TempPathFactory) -> PeerFiles:
    return PeerFiles(tmp_path_factory.mktemp("certificates") / "peers", endpoints.LOKI)


@pytest.fixture(scope="module")
def members(shared_files: PeerFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Member]]:
    """One ring for the tests that follow each other: it is up after a quarter of a minute."""
    folder = tmp_path_factory.mktemp("ring")
    with object_storage(folder / "storage") as storage, loki_ring(folder, storage, shared_files) as members:
        wait_for_all(members)
        yield members


def wait_for_all(members: Sequence[Member]) -> None:
    for member in members:
        poll_until("three members of the ring", partial(knows_three, member.loki), seconds=120)


def lines(loki: LokiProcess, now: int) -> set[str]:
    """Returns the lines since then."""
    return {line for _, _, line in loki.query(f'{{service_name="{LABEL}"}}', now, now + HOUR)}


def packets(members: Sequence[Member], direction: str) -> float:
    """Returns the number of packets of gossip that the Lokis have sent, or received."""
    name = f"loki_memberlist_tcp_transport_packets_{direction}_total"
    return sum(
        family.samples[0].value
        for member in members
        for family in text_string_to_metric_families(CLIENT.get(f"{member.loki.url}/metrics", timeout=30).text)
        if family.name == name.removesuffix("_total")
    )


def writer_of_lines(members: Sequence[Member]) -> Writer:
    """Sends a line at a time, to one Loki after the other."""
    turns = cycle(members)

    def send(number: int) -> str | None:
        line = f"line {number}"
        request = otlp({line: time.time_ns()}, service_name=LABEL)
        try:
            answer = CLIENT.post(f"{next(turns).loki.url}/otlp/v1/logs", json=request, timeout=30)
        except httpx.HTTPError:
            return None
        return line if answer.is_success else None

    return Writer(send, pause_seconds=0.05)


# The first one: the other tests share a ring with the same addresses.
def test_a_running_ring_that_gets_certificates_loses_no_line(
    storage: Storage, files: PeerFiles, tmp_path: Path
) -> None:
    """One after the other is replaced, the last one first, as a StatefulSet does it."""
    now = time.time_ns()
    with loki_ring(tmp_path, storage) as members, writer_of_lines(members) as writer:
        wait_for_all(members)
        poll_until("lines", lambda: len(writer.accepted) > 20, seconds=60)
        for member in reversed(members):
            member.stop()
            member.use(files)
            member.start()
        wait_for_all(members)
        accepted = len(writer.accepted)
        poll_until("further lines", lambda: len(writer.accepted) > accepted + 20, seconds=60)
        writer.end()
        for member in members:
            assert lines(member.loki, now) == {*writer.accepted}


def test_a_program_without_their_certificate_is_refused(members: list[Member], tmp_path: Path) -> None:
    name = endpoints.LOKI
    own = PeerFiles(tmp_path / "own", name)
    others = [
        PeerFiles(tmp_path / "of another seed", name, Authority(SEED + ".", f"{name}-peers")),
        PeerFiles(tmp_path / "of the stack", name, Authority(SEED)),
        PeerFiles(tmp_path / "of Alertmanager", name, Authority(SEED, "alertmanager-peers")),
    ]
    for member in members:
        for port in PORTS:
            address = (member.address, port)
            assert served_serial_number(address, own.client(), name) == own.serial_number()
            assert is_refused(address, own.client(certificate=False), name)
            assert all(is_refused(address, other.client(), name) for other in others)


def test_a_renewed_certificate_is_used_without_a_restart_or_a_lost_line(
    members: list[Member], shared_files: PeerFiles
) -> None:
    files = shared_files
    now, client = time.time_ns(), files.client()
    pids, previous = [member.loki.pid for member in members], files.serial_number()
    with writer_of_lines(members) as writer:
        poll_until("lines", lambda: writer.accepted)
        files.renew(periods=-1)  # the earlier one is still valid, a later one is not yet
        renewed = files.serial_number()
        assert renewed != previous

        def serve_it(port: int) -> bool:
            return all(served_serial_number((it.address, port), client, endpoints.LOKI) == renewed for it in members)

        assert serve_it(endpoints.LOKI_GRPC_PORT)
        poll_until("the new certificate", lambda: serve_it(endpoints.LOKI_GOSSIP_PORT), seconds=RENEWED_WITHIN)
        accepted = len(writer.accepted)
        poll_until("further lines", lambda: len(writer.accepted) > accepted + 20, seconds=60)
    assert not writer.refused
    assert [member.loki.pid for member in members] == pids
    members[2].stop()
    members[2].start()
    wait_for_all(members)
    for member in members:
        assert lines(member.loki, now) == {*writer.accepted}


# The last one with the shared ring, of which it ends a member.
def test_they_copy_lines_and_answer_while_one_is_lost(members: list[Member]) -> None:
    first, second, third = (member.loki for member in members)
    now = time.time_ns()
    expected = {f"line {number}": now + number for number in range(100)}
    first.write(LABEL, expected)
    for loki in (first, second, third):
        assert lines(loki, now) == expected.keys()
    sent, received = packets(members, "sent"), packets(members, "received")
    poll_until("gossip", lambda: packets(members, "sent") - sent > 40, every=1)
    sent = packets(members, "sent") - sent
    # Some are on their way at each end.
    poll_until("packets of gossip", lambda: packets(members, "received") - received > 0.8 * sent, seconds=2)
    members[0].kill()
    assert lines(second, now) == expected.keys()
