"""What Grafana needs of the other components, whether the stack builds it or not."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from stack.components.encryption.protection import Protection
from stack.components.grafana.content import Content
from stack.components.grafana.settings import Grafana as GrafanaSettings
from stack.components.secrets.component import SecretValues


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the stack's Secret."""
    secrets: SecretValues
    settings: GrafanaSettings
    storage_class: str | None
    content: Content
    protection: Protection | None
    """What TLS of Grafana or of its publisher needs; None if they take connections in clear."""
    service_annotations: Mapping[str, str]
    """Of Grafana's Service, for the controller of an Ingress."""
    image: str | None
    """Image of the services, for a Grafana that gets its dashboards through its API."""
