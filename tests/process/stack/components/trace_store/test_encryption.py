"""The parts of a real Tempo that know each other by certificates: who gets in, what a renewal or a switch changes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import grpc
import pytest

from checks.chaos.requests import Requests
from checks.harness.kafka import KafkaBrokers
from contracts import endpoints
from lean_tracing.otlp_exporter import TRACES
from stack.components.encryption.authority import Authority
from stack.components.kafka.rights import INGEST_TOPIC
from stack.components.kafka.settings import Kafka
from stack.polling import poll_until
from tests.support.kafka_process import libraries
from tests.support.object_storage import object_storage
from tests.support.peers import SEED, PeerFiles, is_refused, served_serial_number
from tests.support.programs import require_program
from tests.support.tempo_peers import TempoPeers
from tests.support.writer import Writer

PORTS: Final = (endpoints.TEMPO_GRPC_PORT, endpoints.TEMPO_GOSSIP_PORT)
RENEWED_WITHIN: Final = 60
VISIBLE_WITHIN: Final = 120


@pytest.fixture(scope="module")
def tempo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TempoPeers]:
    """Parts that do not run, with a broker and a bucket that do."""
    require_program("tempo")
    folder = tmp_path_factory.mktemp("tempo")
    (kafka := folder / "kafka").mkdir()
    brokers = KafkaBrokers(kafka, libraries())
    brokers.configure(Kafka(brokers=1))
    with object_storage(folder / "storage") as storage:
        try:
            brokers.start(0)
            brokers.wait(0)
            own = brokers.bootstrap_servers
            arguments = ["--create", "--topic", INGEST_TOPIC, "--partitions", "1", "--bootstrap-server", own]
            brokers.run("org.apache.kafka.tools.TopicCommand", *arguments)
            parts = TempoPeers(folder, storage, own)
            yield parts
            parts.kill()
        finally:
            brokers.kill()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PeerFiles:
    return PeerFiles(tmp_path_factory.mktemp("certificates") / "peers", endpoints.TEMPO)


@pytest.fixture
def encrypted(tempo: TempoPeers, files: PeerFiles) -> Iterator[TempoPeers]:
    tempo.use(files)
    tempo.start()
    yield tempo
    tempo.kill()


def writer_of_spans(tempo: TempoPeers, name: str) -> Writer:
    """Sends one request after the other; what was accepted are trace ids."""
    requests = Requests(name)

    def send(number: int) -> str | None:
        with grpc.insecure_channel(tempo.otlp) as channel:
            try:
                channel.unary_unary(TRACES)(requests.encode(number), timeout=10)
            except grpc.RpcError:
                return None
        return next(iter(requests.traces(number)))

    return Writer(send, pause_seconds=0.1)


def wait_for_traces(tempo: TempoPeers, traces: list[str]) -> None:
    for trace_id in traces:
        poll_until(f"trace {trace_id}", partial(tempo.store.trace, trace_id), seconds=VISIBLE_WITHIN, every=0.2)


def test_the_parts_pass_spans_on_and_refuse_others(encrypted: TempoPeers, tmp_path: Path) -> None:
    with writer_of_spans(encrypted, "passed") as writer:
        poll_until("accepted spans", lambda: len(writer.accepted) >= 3, seconds=VISIBLE_WITHIN)
    wait_for_traces(encrypted, writer.accepted)
    name = endpoints.TEMPO
    own = PeerFiles(tmp_path / "own", name)
    others = [
        PeerFiles(tmp_path / "of another seed", name, Authority(SEED + ".", f"{name}-peers")),
        PeerFiles(tmp_path / "of the stack", name, Authority(SEED)),
        PeerFiles(tmp_path / "of Loki", name, Authority(SEED, "loki-peers")),
    ]
    for part in encrypted.parts.values():
        for port in PORTS:
            address = (part.address, port)
            assert served_serial_number(address, own.client(), name) == own.serial_number()
            assert is_refused(address, own.client(certificate=False), name)
            assert all(is_refused(address, other.client(), name) for other in others)


def test_a_renewed_certificate_is_used_without_a_restart_or_a_lost_span(
    encrypted: TempoPeers, files: PeerFiles
) -> None:
    client, parts = files.client(), encrypted.parts.values()
    pids, previous = [part.process.pid for part in parts], files.serial_number()
    with writer_of_spans(encrypted, "renewed") as writer:
        poll_until("accepted spans", lambda: writer.accepted, seconds=VISIBLE_WITHIN)
        files.renew(periods=-1)  # the earlier one is still valid, a later one is not yet
        renewed = files.serial_number()
        assert renewed != previous

        def serve_it(port: int) -> bool:
            return all(served_serial_number((it.address, port), client, endpoints.TEMPO) == renewed for it in parts)

        assert serve_it(endpoints.TEMPO_GRPC_PORT)
        poll_until("the new certificate", lambda: serve_it(endpoints.TEMPO_GOSSIP_PORT), seconds=RENEWED_WITHIN)
        accepted = len(writer.accepted)
        poll_until("further spans", lambda: len(writer.accepted) > accepted + 5, seconds=60)
    assert [part.process.pid for part in parts] == pids
    querier = encrypted.parts["querier"]
    querier.stop()
    querier.start()
    wait_for_traces(encrypted, writer.accepted)


def test_a_running_tempo_that_gets_certificates_loses_no_span(tempo: TempoPeers, files: PeerFiles) -> None:
    """Parts are replaced while others still run in clear. A query frontend is ready only with a querier."""
    tempo.use(None)
    tempo.start()
    try:
        with writer_of_spans(tempo, "switched") as writer:
            poll_until("accepted spans", lambda: len(writer.accepted) >= 3, seconds=VISIBLE_WITHIN)
            for names in (["live-store"], ["query-frontend", "querier"], ["backend-worker", "backend-scheduler"]):
                tempo.replace(names, files)
            tempo.replace(["distributor"], files)
            accepted = len(writer.accepted)
            poll_until("further spans", lambda: len(writer.accepted) > accepted + 5, seconds=VISIBLE_WITHIN)
        wait_for_traces(tempo, writer.accepted)
    finally:
        tempo.kill()
