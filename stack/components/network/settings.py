"""The section `network` of the settings."""

from typing import Annotated

from pydantic import Field

from contracts.section import DnsLabel, FromList, Section
from stack.kubernetes.settings import AddressRange


class Callers(Section):
    """Who may connect from outside of the stack's namespace."""

    namespaces: Annotated[tuple[DnsLabel, ...], FromList] = ()
    """Namespaces whose pods may connect."""
    ranges: Annotated[tuple[AddressRange, ...], FromList] = ()
    """Addresses that may connect and are no pods, such as those of a load balancer or of nodes."""


class Network(Section):
    """NetworkPolicies: pods reach what they need, and nothing else.

    The network plugin of the cluster must enforce them; most do. Policies add up, so one of your own in the stack's
    namespace can allow more.
    """

    enabled: bool = True
    """If off, the stack declares no NetworkPolicy."""
    front_door: Callers | None = None
    """Your ingress controller, or who comes from the load balancer, to what `ingress` opens. If unset, everyone who
    reaches the pods: the stack cannot know where your controller runs."""
    telemetry: Callers | None = None
    """Your Prometheus to the metrics, with `metrics.external.podMonitors`, and your Grafana to the stores, with
    `grafana.external`. If unset, the pods of all namespaces if you have one of the two, else no one."""
    senders: Callers | None = None
    """Other applications that send spans to the Collectors. If unset, the pods of all namespaces if
    `services.enabled` is off, else no one."""
    outside: Annotated[tuple[AddressRange, ...], FromList, Field(min_length=1)] = ("0.0.0.0/0", "::/0")
    """Addresses of what you run and the stack connects to: an external Kafka, database or store, a bucket, receivers of
    alerts, an identity provider. Policies know no host names; ports are those of the settings."""
