"""Apache Kafka itself as processes of this machine, with the configuration of the stack's brokers."""

import itertools
import os
import subprocess
from pathlib import Path
from typing import Final

from checks.harness import kafka_programs
from checks.harness.server import ServerProcess
from contracts import endpoints
from stack.components.kafka.component import CLUSTER_ID, FINISH_UPGRADE, IN_SYNC, RELEASE, REPLICATE
from stack.components.kafka.config import DATA, BrokerSecurity, command_properties, pod_names, server_properties
from stack.components.kafka.settings import Kafka
from stack.polling import poll_until

_clusters = itertools.count(1)

_GRACE_SECONDS: Final = 20.0
"""Shorter than that of the pods, so that the tests end sooner."""


class KafkaBrokers:
    """The brokers of one cluster, each on a loopback address of its own. Their files stay when they end."""

    def __init__(self, directory: Path, class_path: str) -> None:
        """directory: for configurations, data and logs."""
        self._directory = directory
        self._class_path = class_path
        # The process id separates the clusters of tests that run at the same time.
        self._network = f"127.{os.getpid() % 250 + 1}.{next(_clusters)}"
        self._processes: dict[int, ServerProcess] = {}
        self._settings = Kafka()
        self._security: BrokerSecurity | None = None
        self.command_config = directory / "command.properties"
        """With TLS: the configuration with which Kafka's programs are the brokers themselves."""

    def address(self, ordinal: int) -> str:
        """host:port of a broker for clients."""
        port = endpoints.KAFKA_TLS_PORT if self._speaks_tls else endpoints.KAFKA_PORT
        return f"{self._network}.{ordinal + 1}:{port}"

    @property
    def addresses(self) -> list[str]:
        """IP addresses of three brokers."""
        return [f"{self._network}.{ordinal + 1}" for ordinal in range(3)]

    @property
    def local_host(self) -> str:
        """IP address that stands for the loopback interface of a client's pod."""
        return f"{self._network}.9"

    def own_address(self, ordinal: int) -> str:
        """host:port of a broker for the programs in its pod."""
        return self.tls_address(ordinal) if self._speaks_tls else self.address(ordinal)

    def tls_address(self, ordinal: int) -> str:
        """host:port of a broker for those that have a certificate."""
        return f"{self.addresses[ordinal]}:{endpoints.KAFKA_BROKER_TLS_PORT}"

    @property
    def _speaks_tls(self) -> bool:
        return self._security is not None and self._security.step.speaks_tls

    @property
    def bootstrap_servers(self) -> str:
        """host:port of all brokers."""
        return ",".join(self.address(ordinal) for ordinal in range(self._settings.brokers))

    def configure(self, settings: Kafka, *extra: str, security: BrokerSecurity | None = None) -> None:
        """Writes the configuration of each broker; brokers that run read it at their next start.

        Args:
            settings: of the stack.
            extra: further lines, for all brokers.
            security: how brokers use TLS.
        """
        self._settings, self._security = settings, security
        if security:
            self.command_config.write_text(command_properties(security))
        for ordinal, name in enumerate(pod_names(settings.brokers)):
            own = f"{self._network}.{ordinal + 1}"
            text = server_properties(ordinal, settings, security).replace(
                DATA, str(self._directory / f"data-{ordinal}")
            )
            for other, pod in enumerate(pod_names(settings.brokers)):
                text = text.replace(f"{pod}.{endpoints.pods(endpoints.KAFKA)}:", f"{self._network}.{other + 1}:")
            text = text.replace(f"://{endpoints.KAFKA}:", f"://{own}:").replace("@127.0.0.1:", f"@{own}:")
            text = text.replace("://:", f"://{own}:").replace("://127.0.0.1:", f"://{self.local_host}:")
            self._configuration(ordinal).write_text("\n".join([text, *extra]))
            self._processes.setdefault(ordinal, self._process(name, ordinal))

    def upgrade(self, class_path: str) -> None:
        """Brokers that start from now on have another version."""
        self._class_path = class_path
        for ordinal in self._processes:
            self._processes[ordinal] = self._process(pod_names(self._settings.brokers)[ordinal], ordinal)

    def finish_upgrade(self) -> None:
        """Runs the program that ends an upgrade."""
        result = self._program(FINISH_UPGRADE, 0)
        assert result.returncode == 0, result.stdout + result.stderr

    def start(self, *ordinals: int) -> None:
        """Starts brokers, as their pods do: the storage is formatted first if it is new."""
        for ordinal in ordinals:
            arguments = ["format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(self._configuration(ordinal))]
            self.run("kafka.tools.StorageTool", *arguments)
            self._processes[ordinal].start()

    def stop(self, ordinal: int) -> None:
        """Stops a broker as the kubelet does: with SIGTERM, and with SIGKILL if it still runs after the grace period.

        A broker waits for the active controller to take its partitions. It waits in vain for one that its configuration
        does not name yet, while brokers are added.
        """
        try:
            self._processes[ordinal].stop(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._processes[ordinal].kill()

    def kill(self, *ordinals: int) -> None:
        """Ends brokers with SIGKILL; all of them if none is named."""
        for ordinal in ordinals or self._processes:
            self._processes[ordinal].kill()

    def cpu_seconds(self) -> float:
        """CPU time that the running brokers have used so far."""
        return sum(process.cpu_seconds() for process in self._processes.values() if process.is_running)

    def topic_bytes(self, topic: str) -> int:
        """Bytes of a topic's messages on the disks of all brokers."""
        return sum(file.stat().st_size for file in self._directory.glob(f"data-*/log/{topic}-*/*.log"))

    def is_in_sync(self, ordinal: int) -> bool:
        """Runs the startup probe of a broker's pod."""
        return self._program(IN_SYNC, ordinal).returncode == 0

    def wait(self, *ordinals: int) -> None:
        """Returns when the pods of these brokers would be ready."""
        for ordinal in ordinals:
            poll_until(
                f"broker {ordinal} in sync",
                lambda ordinal=ordinal: self.is_in_sync(ordinal),  # type: ignore[misc]
                seconds=120,
                every=0.5,
                look_at=str(self._directory),
            )

    def replicate(self) -> None:
        """Runs the program of the upgrade."""
        result = self._program(REPLICATE, 0)
        assert result.returncode == 0, result.stdout + result.stderr

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of Kafka's own programs, and returns its output."""
        command = self._java(64, program, *arguments)
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def _program(self, file: Path, ordinal: int, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "BOOTSTRAP_SERVERS": self.own_address(ordinal),
            "COMMAND_CONFIG": str(self.command_config) if self._speaks_tls else "",
            "BROKERS": str(self._settings.brokers),
            "IN_SYNC_REPLICAS": str(self._settings.in_sync_replicas),
            "LIBRARIES": self._class_path,
            "RELEASE": RELEASE,
            "JDK_JAVA_OPTIONS": " ".join(kafka_programs.options(self._class_path)),
            **variables,
        }
        return subprocess.run(
            ["sh", file], env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
        )

    def _configuration(self, ordinal: int) -> Path:
        return self._directory / f"{endpoints.KAFKA}-{ordinal}.properties"

    def _process(self, name: str, ordinal: int) -> ServerProcess:
        command = self._java(256, "kafka.Kafka", str(self._configuration(ordinal)))
        return ServerProcess(name, command, self._directory)

    def _java(self, heap: int, program: str, *arguments: str) -> list[str]:
        """Returns the command line of a program, whose heap has at most so many MiB."""
        options = (f"-Xmx{heap}m", *kafka_programs.options(self._class_path))
        return ["java", *options, "-cp", self._class_path, program, *arguments]
