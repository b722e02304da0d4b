"""Links from a dashboard to where its traces are explored; they keep the time range and the chosen services."""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import DashboardLink
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from contracts import endpoints
from dashboards.config import MonitoringConfig

LinkFunction = Callable[[MonitoringConfig], DashboardLink | None]
"""Returns a link, or None if the stack has not what it leads to."""

# Grafana replaces these in the URL of a link. The values of the variable are joined to a regular expression.
SERVICES: Final = "${service:pipe}"
ALL_SERVICES: Final = ".+"
# A response 4xx is the caller's mistake, as in the metrics of the dashboards. Most spans have no response at all.
_STATUS: Final = "span.http.response.status_code"
_FAILED: Final = f"status = error && ({_STATUS} = nil || {_STATUS} >= 500)"
_RANGE: Final = {"from": "${__from}", "to": "${__to}"}
_KEPT: Final = "${}:"


def failed_spans(services: str) -> LinkFunction:
    """Return the link to Explore with the rate of the services' failed spans, by operation: metrics from TraceQL.

    Args:
        services: regular expression, or `SERVICES` on a dashboard with that variable.
    """
    query = f'{{ resource.service.name =~ "{services}" && {_FAILED} }} | rate() by (resource.service.name, name)'

    def link(config: MonitoringConfig) -> DashboardLink | None:
        if not config.traces or config.trace_backend != "tempo":
            return None
        uid = config.names.uid(endpoints.TRACES_UID)
        source = {"type": "tempo", "uid": uid}
        target = {"refId": "A", "datasource": source, "queryType": "traceql", "query": query}
        panes = {"traces": {"datasource": uid, "queries": [target], "range": _RANGE}}
        url = f"/explore?schemaVersion=1&panes={quote(json.dumps(panes), safe=_KEPT)}"
        return _link("Failed spans", "Explore the failed spans, by operation", url)

    return link


def drilldown(services: str) -> LinkFunction:
    """Return the link to the app Traces Drilldown, which searches and compares without a query language.

    Args:
        services: regular expression, or `SERVICES` on a dashboard with that variable.
    """

    def link(config: MonitoringConfig) -> DashboardLink | None:
        if not config.drilldown:
            return None
        # Without a filter on root spans: a message is handled below the span that sent it.
        filters = quote(f"resource.service.name|=~|{services}", safe=_KEPT)
        url = (
            f"/a/grafana-exploretraces-app/explore?var-ds={config.names.uid(endpoints.TRACES_UID)}&var-primarySignal=true"
            f"&var-metric=errors&var-filters={filters}&actionView=breakdown"
        )
        return _link("Traces Drilldown", "Break the failed spans down by their attributes", url).keep_time(True)

    return link


def _link(title: str, tooltip: str, url: str) -> DashboardLink:
    return DashboardLink(title).type(DashboardLinkType.LINK).icon("external link").tooltip(tooltip).url(url)
