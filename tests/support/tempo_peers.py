"""The parts of one real Tempo as processes of this machine, each at a loopback address of its own."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, Final

import yaml

from checks.harness.s3 import ACCESS
from checks.harness.server import ServerProcess, answers
from contracts import endpoints
from stack.clients.traces import TraceStoreClient
from stack.components.encryption.peers import PeerTls
from stack.components.trace_store.config import (
    ADDRESS_VARIABLE,
    TEMPO_CONFIG,
    TEMPO_DATA,
    distributed_config,
)
from stack.components.trace_store.settings import Traces
from tests.support.object_storage import Storage
from tests.support.peers import PeerFiles, PeerProxy
from tests.support.programs import require_program

_START_SECONDS: Final = 180
_GRACE_SECONDS: Final = 20
"""Shorter than that of the pods, so that the tests end sooner."""
_NETWORK: Final = "127.0.4."
_INSIDE: Final = "127.0.5."
"""Addresses that stand for the loopback interfaces of the pods."""
PARTS: Final = {
    "live-store": f"{_NETWORK}1",
    "distributor": f"{_NETWORK}2",
    "query-frontend": f"{_NETWORK}3",
    "querier": f"{_NETWORK}4",
    "backend-scheduler": f"{_NETWORK}5",
    "backend-worker": f"{_NETWORK}6",
}
"""Name → address."""


class Part:
    """One part, and the proxy of its pod if the parts know each other by certificates."""

    def __init__(self, name: str, folder: Path, storage: Storage, bootstrap_servers: str) -> None:
        """folder: for its files; it is created."""
        folder.mkdir()
        storage.trust(folder)
        self.name, self.address = name, PARTS[name]
        self._folder, self._brokers = folder, bootstrap_servers
        self._inside = _INSIDE + self.address.rpartition(".")[2]
        self._traces = Traces.model_validate({"objectStorage": storage.settings("traces"), "distributed": {}})
        self._proxy: PeerProxy | None = None
        file = folder / "tempo.yaml"
        self.url = f"http://{self.address}:{endpoints.TEMPO_HTTP_PORT}"
        command: list[str | Path] = [f"-config.file={file}", "-config.expand-env=true", f"-target={name}"]
        environment = {**ACCESS, ADDRESS_VARIABLE: self.address}
        self._command, self._environment, self._file = command, environment, file
        self.process = self._server()
        self.use(None)

    def use(self, files: PeerFiles | None) -> None:
        """Sets, from the next start on, the certificate by which the parts know each other; None for none."""
        self._proxy = None
        if files:
            self._proxy = PeerProxy(files, self._folder, self.address, self._inside, endpoints.TEMPO_GOSSIP_PORT)
        text = yaml.safe_dump(self._config(files.tls if files else None))
        for path, folder in ((TEMPO_DATA, "data"), ("/tmp/wal", "wal"), (TEMPO_CONFIG, "")):
            text = text.replace(path, str(self._folder / folder))
        self._file.write_text(text)

    def start(self) -> None:
        """Returns when it is ready."""
        if self._proxy:
            self._proxy.start()
        self.process.start(_START_SECONDS)

    def stop(self) -> None:
        """Stops it as Kubernetes does: with SIGKILL if it still runs after the grace period."""
        try:
            self.process.stop(_GRACE_SECONDS)
        except TimeoutExpired:
            self.process.kill()
        if self._proxy:
            self._proxy.stop()

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        if self._proxy:
            self._proxy.stop()

    def _server(self) -> ServerProcess:
        command = [require_program("tempo"), *self._command]
        return ServerProcess("tempo", command, self._folder, lambda: answers(f"{self.url}/ready"), self._environment)

    def _config(self, tls: PeerTls | None) -> dict[str, Any]:
        """Return the stack's configuration with the addresses of this machine."""
        config = distributed_config(self._traces, "48h", self._brokers, self.address, tls)
        grpc = endpoints.TEMPO_GRPC_PORT
        config["server"]["grpc_listen_address"] = self.address
        own = {"instance_addr": self.address}
        config["distributor"]["ring"] = dict(own)
        config["backend_worker"] |= {
            "ring": dict(own),
            "backend_scheduler_addr": f"{PARTS['backend-scheduler']}:{grpc}",
        }
        config["live_store"]["ring"] = {**own, "instance_id": f"{endpoints.TEMPO_LIVE_STORE}-0"}
        config["querier"]["frontend_worker"]["frontend_address"] = f"{PARTS['query-frontend']}:{grpc}"
        config["memberlist"] |= {
            "bind_addr": [self._inside if tls else self.address],
            "join_members": [f"{PARTS['live-store']}:{endpoints.TEMPO_GOSSIP_PORT}"],
            "node_name": self.name,
        }
        return config


class TempoPeers:
    """All parts but the block builder, which talks to Kafka and the bucket alone."""

    def __init__(self, folder: Path, storage: Storage, bootstrap_servers: str) -> None:
        """folder: for the files of the parts."""
        self.parts: Mapping[str, Part] = {name: Part(name, folder / name, storage, bootstrap_servers) for name in PARTS}
        self.otlp = f"{PARTS['distributor']}:{endpoints.OTLP_GRPC_PORT}"
        self.store = TraceStoreClient("tempo", self.parts["query-frontend"].url)

    def use(self, files: PeerFiles | None) -> None:
        """Sets, from the next start on, the certificate by which all parts know each other."""
        for part in self.parts.values():
            part.use(files)

    def start(self) -> None:
        """Returns when all are ready."""
        _start(self.parts.values())

    def replace(self, names: Sequence[str], files: PeerFiles) -> None:
        """Stops some parts, and returns when they are ready with a certificate."""
        parts = [self.parts[name] for name in names]
        for part in parts:
            part.stop()
            part.use(files)
        _start(parts)

    def kill(self) -> None:
        """Ends all at once."""
        for part in self.parts.values():
            part.kill()


def _start(parts: Iterable[Part]) -> None:
    with ThreadPoolExecutor() as executor:
        list(executor.map(Part.start, parts))
