"""The section `cluster` of the settings."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.section import DnsLabel, DnsName, FromList, Section


def _check_range(text: str) -> str:
    return str(ipaddress.ip_network(text))


AddressRange = Annotated[str, AfterValidator(_check_range), Field(examples=["10.0.0.0/8", "fd00::/8"])]
"""Addresses, in CIDR notation."""


class Dns(Section):
    """Where the DNS servers of the cluster are, for the NetworkPolicies."""

    namespaces: Annotated[tuple[DnsLabel, ...], FromList] = ("kube-system",)
    """Namespaces of their pods; `openshift-dns` on OpenShift."""
    ranges: Annotated[tuple[AddressRange, ...], FromList] = ("169.254.20.10/32",)
    """Addresses of servers that are no pods. The default is that of NodeLocal DNSCache."""
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], FromList, Field(min_length=1)] = (53,)
    """Ports of the pods; 5353 on OpenShift."""


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
    dns: Dns = Dns()
    ranges: Annotated[tuple[AddressRange, ...], FromList] = ()
    """Public addresses of pods, Services or nodes: the crawler must not reach them. It reaches no private one."""
    priority_classes: PriorityClasses = PriorityClasses()
    image_digests: bool = True
    """Whether pods name images by digest too, where `contracts/digests.json` has one. Off where images are built on the
    machine, as those of the local stack are: they have other digests."""
    pull_secrets: Annotated[tuple[DnsName, ...], FromList] = ()
    """Secrets of the namespace that are used to pull images. Create them yourself: the stack does not know their
    values."""
