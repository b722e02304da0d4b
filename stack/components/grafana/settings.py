"""The section `grafana` of the settings."""

from contracts.section import Quantity, WebAddress
from stack.components.shared.settings import Stateful


class Grafana(Stateful):
    """Grafana, with all datasources, dashboards and runbooks."""

    enabled: bool = True
    """If off, there is no Grafana; its datasources and dashboards are still rendered and checked."""
    url: WebAddress = "http://localhost:3000"
    """URL of Grafana for people, without a slash at its end. Links in alerts lead there."""
    volume: Quantity = "1Gi"
