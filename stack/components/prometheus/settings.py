"""The section `metrics` of the settings."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.addresses import WebAddress
from contracts.section import Labels, Quantity, Section
from stack.components.shared.external_store import QueriedStore, require_encryption
from stack.components.shared.settings import Stateful


class ObjectLabels(Section):
    """Labels of the objects, by which your Prometheus selects them."""

    labels: Labels = Field(default_factory=dict, examples=[{"release": "kube-prometheus-stack"}])


class RemoteWrite(Section):
    """A receiver of Prometheus' remote write."""

    url: Annotated[WebAddress, Field(examples=["https://mimir.example.com/api/v1/push"])]
    authorize: bool = False
    """If on, the secret `metricsWriteToken` is sent: as a bearer token, or as the password of `username`."""
    username: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.username and not self.authorize:
            raise ValueError(f"username {self.username!r} is not used: authorize is off")
        require_encryption(self.url, on=self.authorize, name="authorize")
        return self


class ExternalMetrics(QueriedStore):
    """A metric store that the stack did not build, with Prometheus' query API. It evaluates the rules.

    It gets the metrics in one of two ways: `podMonitors` or `remoteWrite`.
    """

    pod_monitors: ObjectLabels | None = None
    """`PodMonitor` objects: the Prometheus of your Prometheus Operator scrapes the pods."""
    remote_write: RemoteWrite | None = None
    """A Prometheus in agent mode scrapes the pods, keeps the samples on its volume, and sends them there."""
    rules: ObjectLabels | None = None
    """A `PrometheusRule` object with the rules. If unset, you load the file of the ConfigMap `prometheus-rules`."""

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.pod_monitors is None) == (self.remote_write is None):
            raise ValueError("set either podMonitors or remoteWrite: the metrics reach your store in one of two ways")
        return self


class Metrics(Stateful):
    """Prometheus, the metric store."""

    external: ExternalMetrics | None = None
    """If set, the stack builds no metric store. Not checked: whether yours selects the objects, evaluates the rules and
    sends the alerts, and how long it keeps the metrics."""

    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Number of pods. Each scrapes every target and evaluates every rule; Alertmanager sends their alerts once."""
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=15)] = 15
    """Time between two scrapes, in s. The fastest alerts use a window of one minute, which must hold four scrapes."""

    @model_validator(mode="after")
    def _check_replicas_are_used(self) -> Self:
        if self.external and self.external.pod_monitors and self.replicas > 1:
            raise ValueError(f"replicas {self.replicas} belong to a Prometheus of the stack; external is yours")
        return self

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the external store needs."""
        if self.external is None:
            return ()
        write = self.external.remote_write
        return (
            *((secret_keys.METRICS_WRITE_TOKEN,) if write and write.authorize else ()),
            *((secret_keys.METRICS_QUERY_AUTHORIZATION,) if self.external.authorize_queries else ()),
        )
