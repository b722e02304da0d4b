"""The settings of a stack: one field for each section."""

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from contracts.section import DnsLabel, Retention, Section
from dashboards.objectives import Objectives
from stack.components.alertmanager.settings import Alerting
from stack.components.collector.settings import Collector
from stack.components.encryption.settings import STEPS, Encryption, setting_text
from stack.components.grafana.settings import Grafana
from stack.components.ingress.settings import Ingress
from stack.components.kafka.settings import Kafka
from stack.components.loki.settings import Logs
from stack.components.network.settings import Network
from stack.components.postgres.settings import Postgres
from stack.components.probe.settings import Probe
from stack.components.prometheus.settings import Metrics
from stack.components.services.access import Access
from stack.components.services.rollout import Rollout
from stack.components.services.settings import Images, Release, Services, Tasks
from stack.components.services.tracing import Tracing
from stack.components.shared.placement import StackPlacement
from stack.components.trace_store.settings import Traces
from stack.kubernetes.settings import Cluster

LOCAL: Final = "local"
"""Environment of the stack on one machine, whose gateway needs no credential unless the settings say otherwise."""


class Load(Section):
    """The expected load; the sizes of the stack are checked against it."""

    traces_per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    """New traces per second, averaged over a day: tasks, and requests that create none."""
    peak: Annotated[float, Field(ge=1, le=1000)] = 5.0
    """Load of the busiest minute, as a multiple of that average."""
    spans_per_trace: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Spans of a trace; a task that succeeds has 16."""


class Settings(Section):
    """All settings of one stack.

    Each section is a structured key of the Pulumi project's configuration (`web-crawl-tracing:traces: {backend: …}`),
    so `pulumi config set --path traces.backend jaeger` works. Secrets are not part of it: `contracts/secret_keys.py`.
    """

    environment: DnsLabel
    """Name of the environment: `deployment.environment.name` of every span."""
    cluster: Cluster
    placement: StackPlacement = StackPlacement()
    images: Images | None = None
    """Needed unless `services.enabled` is off."""
    retention: Retention = "336h"
    """Time for which traces, logs and metrics are kept, in hours. One value for all three: otherwise a link could lead
    to deleted data."""
    services: Services = Services()
    tasks: Tasks = Tasks()
    access: Access = Access()
    tracing: Tracing = Tracing()
    collector: Collector = Collector()
    traces: Traces = Traces()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    alerting: Alerting = Alerting()
    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    grafana: Grafana = Grafana()
    ingress: Ingress | None = None
    """If unset, nothing is reached from outside of the cluster."""
    network: Network = Network()
    encryption: Encryption = Encryption()
    probe: Probe = Probe()
    objectives: Objectives = Objectives()
    rollout: Rollout = Rollout()
    release: Release | None = None
    """State of a rollout that is in progress."""
    load: Load | None = None
    """If unset, the sizes are checked only for what is needed under any load."""

    @property
    def has_access_control(self) -> bool:
        """Whether callers of the gateway need an API key or a token."""
        if self.access.enabled is None:
            return self.environment != LOCAL
        return self.access.enabled

    @property
    def has_probe(self) -> bool:
        """Whether the stack has the probe, which looks for the trace of each of its requests."""
        return self.services.enabled and self.traces.queried and self.probe.enabled is not False

    @property
    def has_kafka(self) -> bool:
        """Whether messages or spans pass through Kafka."""
        return self.services.enabled or bool(self.collector.sampling or self.traces.distributed)

    @property
    def service_image(self) -> str:
        """Image of the services, which a stack with services has."""
        assert self.images is not None
        return self.images.service

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the sections need, without those that every stack has."""
        sections = (
            self.alerting,
            self.grafana,
            self.traces,
            self.metrics,
            self.logs,
            self.kafka,
            self.postgres,
            self.encryption,
        )
        return tuple(key for section in sections for key in section.needed_secrets)

    @model_validator(mode="after")
    def _check_services(self) -> Self:
        if self.services.enabled:
            if self.images is None:
                raise ValueError("images.service is missing: the image of the services, with a tag or digest")
            return self
        without = "the stack has no services: services.enabled is off"
        if self.probe.enabled:
            raise ValueError(f"probe.enabled sends requests to the gateway, but {without}")
        if self.ingress and self.ingress.task_api:
            raise ValueError(f"ingress.taskApi opens the gateway, but {without}")
        if self.release:
            raise ValueError(f"release is the state of a rollout of services, but {without}")
        return self

    @model_validator(mode="after")
    def _check_probe_finds_traces(self) -> Self:
        if self.probe.enabled and not self.traces.queried:
            raise ValueError(
                "probe.enabled looks for the trace of each request, but the trace store cannot be queried: "
                "traces.external.queryUrl is not set"
            )
        return self

    @model_validator(mode="after")
    def _check_back_ends_are_used(self) -> Self:
        for kind in ("external", "cloudnativepg"):
            if getattr(self.postgres, kind) and not self.services.enabled:
                raise ValueError(
                    f"postgres.{kind} is not used: services.enabled is off, and tasks alone need a database"
                )
        if self.kafka.external and not self.has_kafka:
            raise ValueError(
                "kafka.external is not used: services.enabled is off, and spans pass through Kafka only with "
                "collector.sampling or traces.distributed"
            )
        if self.network.front_door and not self.ingress:
            raise ValueError("network.frontDoor is not used: without the section ingress nothing is open")
        return self

    @model_validator(mode="after")
    def _check_image_of_the_publisher(self) -> Self:
        if self.grafana.external and self.grafana.external.api and self.images is None:
            raise ValueError(
                "grafana.external.api runs from the image of the services: images.service is missing. sidecar and "
                "operator need no image"
            )
        return self

    @model_validator(mode="after")
    def _check_alerts_have_a_sender(self) -> Self:
        if self.metrics.external and self.alerting.built:
            raise ValueError(
                "metrics.external evaluates the rules and sends the alerts to an Alertmanager of yours: set "
                "alerting.external, or alerting.enabled to false; otherwise no alert reaches the stack's own"
            )
        return self

    @model_validator(mode="after")
    def _check_ingress_of_grafana(self) -> Self:
        if self.ingress is None or self.ingress.grafana is None:
            return self
        if not self.grafana.built:
            reason = "grafana.external is yours" if self.grafana.external else "grafana.enabled is false"
            raise ValueError(f"ingress.grafana opens a Grafana that the stack does not have: {reason}")
        url = urlsplit(self.grafana.url)
        if url.scheme != "https" or url.port or url.hostname in ("localhost", "127.0.0.1"):
            raise ValueError(
                "ingress.grafana needs grafana.url: an https URL with the host name that the ingress serves, no port"
            )
        return self

    @model_validator(mode="after")
    def _check_kafka_for_tempo(self) -> Self:
        external = self.kafka.external
        if external and self.traces.distributed and (external.encrypted or "," in external.bootstrap_servers):
            raise ValueError(
                "kafka.external: Tempo in parts (traces.distributed) connects to one address, without TLS: its Kafka "
                "client knows no more. Give the single binary objectStorage, or set traces.external"
            )
        return self

    @model_validator(mode="after")
    def _check_encryption_of_postgres(self) -> Self:
        if not self.encryption.postgres:
            return self
        if self.postgres.external or self.postgres.cloudnativepg:
            kind = "external" if self.postgres.external else "cloudnativepg"
            raise ValueError(f"encryption.postgres is for the stack's own server: postgres.{kind} has TLS without it")
        if not self.services.enabled:
            raise ValueError("encryption.postgres needs a database, but services.enabled is off")
        return self

    @model_validator(mode="after")
    def _check_encryption_of_kafka(self) -> Self:
        if not self.encryption.kafka:
            return self
        if self.kafka.external:
            raise ValueError(
                "encryption.kafka is for the stack's own brokers: kafka.external has its own setting, encrypted"
            )
        if not self.has_kafka:
            raise ValueError(
                "encryption.kafka needs a Kafka, but neither tasks nor spans of this stack pass through one"
            )
        if self.images is None:
            raise ValueError("encryption.kafka runs the pod kafka-users from the image of the services: images.service")
        return self

    @model_validator(mode="after")
    def _check_encryption_of_services(self) -> Self:
        if not self.encryption.services:
            return self
        if not (self.services.enabled or self.grafana.built or self.grafana.published):
            raise ValueError(
                "encryption.services needs a server, but the stack has no services (services.enabled is off), no "
                "Grafana and no publisher of dashboards"
            )
        missing = self.ingress.missing_annotations if self.ingress else ()
        if STEPS[self.encryption.services].speaks_tls and missing:
            raise ValueError(
                "encryption.services: the controller of the Ingress must know that the gateway and Grafana have TLS. "
                f'Set its annotations in ingress.annotations, or in {" and ".join(missing)}: see "TLS behind an '
                'Ingress" in stack/README.md'
            )
        in_clear = self.ingress.annotations_in_clear if self.ingress else ()
        if not STEPS[self.encryption.services].takes_plain and in_clear:
            raise ValueError(
                f"{in_clear[0]} tells the controller to connect in clear, which the gateway and Grafana refuse with "
                "encryption.services: true"
            )
        return self

    @model_validator(mode="after")
    def _check_annotations_without_tls(self) -> Self:
        value = self.encryption.services
        names = self.ingress.annotations_with_tls if self.ingress else ()
        if names and not STEPS[value].speaks_tls:
            raise ValueError(
                f"{names[0]} tells the controller to connect with TLS, but with encryption.services: "
                f"{setting_text(value)}, clients connect in clear. Remove it; it belongs to preferred and true"
            )
        return self

    @model_validator(mode="after")
    def _check_partitions_for_readers(self) -> Self:
        readers = {"collector.sampling": self.collector.sampling, "traces.distributed": self.traces.distributed}
        for name, reader in readers.items():
            if reader and reader.replicas > self.kafka.partitions:
                raise ValueError(
                    f"{name}.replicas {reader.replicas} is more than kafka.partitions {self.kafka.partitions}: "
                    "the rest would have nothing to read"
                )
        return self
