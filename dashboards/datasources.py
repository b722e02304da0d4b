"""Grafana's datasources, and the links between them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from contracts import endpoints, metrics
from dashboards.names import UNCHANGED, Names


def datasources(
    *,
    backend: str,
    traces_url: str | None,
    prometheus_url: str,
    loki_url: str | None,
    alertmanager_url: str | None = None,
    access: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    names: Names = UNCHANGED,
) -> dict[str, Any]:
    """Return the provisioning document of the datasources; links and dashboards refer to their fixed uids.

    Args:
        backend: `tempo` or `jaeger`, which is also the datasource's type.
        traces_url: base URL of the trace store's query API; None if it has none.
        prometheus_url: base URL of Prometheus.
        loki_url: base URL of Loki; None if the stack has none that can be queried.
        alertmanager_url: base URL of Alertmanager; None if the stack has none.
        access: uid of `endpoints` → fields of the datasource with which Grafana gets access to its store.
        names: of the datasources; with a prefix none of them is the default of its Grafana.
    """
    has_traces, has_logs = traces_url is not None, loki_url is not None
    sources = [
        _with_access(_prometheus(prometheus_url, traces=has_traces, alerts=alertmanager_url is not None), access),
        *([_with_access(_traces(backend, traces_url, logs=has_logs), access)] if traces_url else []),
        *([_with_access(_loki(loki_url, traces=has_traces), access)] if loki_url else []),
        *([_with_access(_alertmanager(alertmanager_url), access)] if alertmanager_url else []),
    ]
    return {
        "apiVersion": 1,
        # Grafana deletes datasources that are no longer declared here.
        "prune": True,
        "datasources": [_named(source, names) for source in sources],
    }


def of_api(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the datasources as Grafana's API takes them: only in files `$$` stands for `$`."""
    return [{**source, "jsonData": _unescaped(source["jsonData"])} for source in document["datasources"]]


def _unescaped(value: Any) -> Any:
    match value:
        case str():
            return value.replace("$$", "$")
        case dict():
            return {key: _unescaped(item) for key, item in value.items()}
        case list():
            return [_unescaped(item) for item in value]
        case _:
            return value


def _named(datasource: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return a datasource under its names; the default of a Grafana that others use, too, is theirs."""
    renamed: dict[str, Any] = names.with_references(datasource)
    is_default = {"isDefault": False} if names.prefix else {}
    return {**renamed, "name": names.title(datasource["name"]), **is_default}


def _with_access(datasource: dict[str, Any], access: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a datasource with the fields that give access to its store."""
    fields = access.get(datasource["uid"], {})
    return {**datasource, **fields, "jsonData": {**datasource["jsonData"], **fields.get("jsonData", {})}}


_TRACE_OF_AN_EXEMPLAR = {"name": "trace_id", "datasourceUid": endpoints.TRACES_UID}


def _prometheus(url: str, *, traces: bool, alerts: bool) -> dict[str, Any]:
    return {
        "name": "Prometheus",
        "uid": endpoints.PROMETHEUS_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "isDefault": True,
        "editable": False,
        "jsonData": {
            "httpMethod": "POST",
            **({"exemplarTraceIdDestinations": [_TRACE_OF_AN_EXEMPLAR]} if traces else {}),
            # Grafana shows this Alertmanager's notifications and silences next to the alerts.
            **({"alertmanagerUid": endpoints.ALERTS_UID} if alerts else {}),
        },
    }


# The clocks of services differ, and a service may write a line shortly before or after its span.
_LOGS_OF_A_SPAN = {
    "datasourceUid": endpoints.LOGS_UID,
    "spanStartTimeShift": "-5m",
    "spanEndTimeShift": "5m",
    "tags": [{"key": "service.name", "value": "service_name"}],
    # Grafana's own filter searches the text of the line for the id, which is not there.
    "filterByTraceID": False,
    "filterBySpanID": False,
    "customQuery": True,
    "query": '{$${__tags}} | trace_id="$${__trace.traceId}"',
}


# The trace id is in the metadata of the line.
_TRACE_OF_A_LINE = {
    "name": "trace",
    "matcherType": "label",
    "matcherRegex": "trace_id",
    "url": "$${__value.raw}",
    "urlDisplayLabel": "Its trace",
    "datasourceUid": endpoints.TRACES_UID,
}


def _loki(url: str, *, traces: bool) -> dict[str, Any]:
    """Return Loki's datasource, with the link from a line to its trace."""
    return {
        "name": "Logs",
        "uid": endpoints.LOGS_UID,
        "type": "loki",
        "access": "proxy",
        "url": url,
        "editable": False,
        "jsonData": {"maxLines": 1000, **({"derivedFields": [_TRACE_OF_A_LINE]} if traces else {})},
    }


def _alertmanager(url: str) -> dict[str, Any]:
    return {
        "name": "Alerts",
        "uid": endpoints.ALERTS_UID,
        "type": "alertmanager",
        "access": "proxy",
        "url": url,
        "editable": False,
        # Alerts of Grafana's own rules (the stack has none) stay in Grafana's own Alertmanager.
        "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    }


def _traces(backend: str, url: str, *, logs: bool) -> dict[str, Any]:
    return {
        "name": "Traces",
        "uid": endpoints.TRACES_UID,
        "type": backend,
        "access": "proxy",
        "url": url,
        "editable": False,
        "jsonData": _trace_links(backend, logs=logs),
    }


_TEMPO_ONLY = {
    # Tempo finds an old trace by its id only within a time range; Jaeger ignores the range.
    "traceQuery": {"timeShiftEnabled": True, "spanStartTimeShift": "-1h", "spanEndTimeShift": "1h"},
    # The tab "Service Graph" reads the series of `rules/service_graph.py`.
    "serviceMap": {"datasourceUid": endpoints.PROMETHEUS_UID},
}


def _trace_links(backend: str, *, logs: bool) -> dict[str, Any]:
    """Return the links from a span to the metrics of its service, and to the log lines of its trace.

    `$$` reaches Grafana as `$`, because provisioning files expand environment variables.
    """
    selected = "{$$__tags}"
    return {
        "nodeGraph": {"enabled": True},
        "tracesToMetrics": {
            "datasourceUid": endpoints.PROMETHEUS_UID,
            "spanStartTimeShift": "-10m",
            "spanEndTimeShift": "10m",
            "tags": [{"key": "service.name", "value": "service_name"}],
            "queries": [
                {
                    "name": "Request rate",
                    "query": f"sum by ({metrics.SPAN_NAME}) (rate({metrics.SPAN_CALLS}{selected}[5m]))",
                },
                {
                    "name": "p99 in ms",
                    "query": f"histogram_quantile(0.99, sum by (le, {metrics.SPAN_NAME}) "
                    f"(rate({metrics.SPAN_DURATION}_bucket{selected}[5m])))",
                },
            ],
        },
        **({"tracesToLogsV2": _LOGS_OF_A_SPAN} if logs else {}),
        **(_TEMPO_ONLY if backend == "tempo" else {}),
    }
