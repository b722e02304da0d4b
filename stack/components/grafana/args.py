"""What Grafana needs of the other components, whether the stack builds it or not."""

from dataclasses import dataclass

import pulumi

from stack.components.encryption.proxy.protection import Protection
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
    """What TLS of the publisher needs; None if its metrics are in clear."""
    image: str | None
    """Image of the services, for a Grafana that gets its dashboards through its API."""
