"""The section `cluster` of the settings."""

from typing import Annotated

from pydantic import Field

from contracts.section import DnsLabel, DnsName, FromList, Section


class PriorityClasses(Section):
    """Names of PriorityClasses that the cluster has; the cluster's default if unset.

    On nodes that are short of memory or CPU, pods with a higher priority replace pods with a lower one: give the tasks
    a higher priority than their telemetry, and that a higher one than the dashboards.
    """

    tasks: DnsName | None = None
    """For the pods that handle tasks: the services, Kafka, Postgres."""
    telemetry: DnsName | None = None
    """For the pods that observe them: Collectors, stores, Alertmanager, the probe."""
    dashboards: DnsName | None = None
    """For Grafana, which no task, span or alert passes; `telemetry` if unset."""


class Cluster(Section):
    """The Kubernetes cluster that the stack is deployed to."""

    context: Annotated[str, Field(min_length=1)]
    """Context of the kubeconfig that this stack is deployed to. The current context is never used."""
    kubeconfig: str | None = None
    """Path of the kubeconfig; the client's default ($KUBECONFIG, ~/.kube/config) if unset."""
    namespace: DnsLabel = "tracing"
    """Namespace of the stack. The stack creates it and enforces PodSecurity `restricted` in it."""
    storage_class: DnsLabel | None = None
    """StorageClass of all volumes; the cluster's default if unset."""
    protect_data: bool = False
    """Whether the namespace, with its volumes and secrets, is protected from accidental deletion."""
    priority_classes: PriorityClasses = PriorityClasses()
    pull_secrets: Annotated[tuple[DnsName, ...], FromList] = ()
    """Secrets of the namespace that are used to pull images. Create them yourself: the stack does not know their
    values."""
