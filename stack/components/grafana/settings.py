"""The section `grafana` of the settings."""

from contracts.section import Quantity, WebAddress
from stack.components.shared.settings import Stateful


class Grafana(Stateful):
    """Grafana, with all datasources, dashboards and runbooks."""

    enabled: bool = True
    """If off, there is no Grafana; its datasources and dashboards are still rendered and checked."""
    url: WebAddress = "http://localhost:3000"
    """URL of Grafana for people, without a slash at its end; it may have a path. Links in alerts, redirects and OAuth
    lead there."""
    internet: bool = False
    """If on, Grafana may connect to grafana.com and gravatar.com: news, checks for updates, the catalog of plugins, and
    the Drilldown apps, which it downloads when it starts. Dashboards, logs and traces need none of it."""
    volume: Quantity = "1Gi"
