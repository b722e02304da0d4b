"""Grafana's datasources, with the links between them."""

from typing import Any

from contracts import endpoints, metrics


def datasources(
    *, backend: str, traces_url: str, prometheus_url: str, loki_url: str | None, alertmanager_url: str | None = None
) -> dict[str, Any]:
    """Provisioning document of the datasources; the uids are fixed, since links and dashboards refer to them.

    Args:
        backend: `tempo` or `jaeger`, which is also the datasource's type.
        traces_url: base URL of the trace store's query API.
        prometheus_url: base URL of Prometheus.
        loki_url: base URL of Loki; None where the stack has none.
        alertmanager_url: base URL of Alertmanager; None where the stack has none.
    """
    return {
        "apiVersion": 1,
        # What is no longer declared here goes away; Grafana would keep it otherwise.
        "prune": True,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": endpoints.PROMETHEUS_UID,
                "type": "prometheus",
                "access": "proxy",
                "url": prometheus_url,
                "isDefault": True,
                "editable": False,
                "jsonData": {
                    "httpMethod": "POST",
                    "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": endpoints.TRACES_UID}],
                    # Where Grafana finds the notifications and silences of this Prometheus' alerts.
                    **({"alertmanagerUid": endpoints.ALERTS_UID} if alertmanager_url else {}),
                },
            },
            {
                "name": "Traces",
                "uid": endpoints.TRACES_UID,
                "type": backend,
                "access": "proxy",
                "url": traces_url,
                "editable": False,
                "jsonData": _trace_links(backend, logs=loki_url is not None),
            },
            *([_loki(loki_url)] if loki_url else []),
            *([_alertmanager(alertmanager_url)] if alertmanager_url else []),
        ],
    }


# The clocks of services differ, and a line may be written a little before or after its span.
_LOGS_OF_A_SPAN = {
    "datasourceUid": endpoints.LOGS_UID,
    "spanStartTimeShift": "-5m",
    "spanEndTimeShift": "5m",
    "tags": [{"key": "service.name", "value": "service_name"}],
    # Grafana's own filter looks for the id in the line's text.
    "filterByTraceID": False,
    "filterBySpanID": False,
    "customQuery": True,
    "query": '{$${__tags}} | trace_id="$${__trace.traceId}"',
}


def _loki(url: str) -> dict[str, Any]:
    """From a line to its trace: the id came as metadata of the line, not as text in it."""
    return {
        "name": "Logs",
        "uid": endpoints.LOGS_UID,
        "type": "loki",
        "access": "proxy",
        "url": url,
        "editable": False,
        "jsonData": {
            "maxLines": 1000,
            "derivedFields": [
                {
                    "name": "trace",
                    "matcherType": "label",
                    "matcherRegex": "trace_id",
                    "url": "$${__value.raw}",
                    "urlDisplayLabel": "Its trace",
                    "datasourceUid": endpoints.TRACES_UID,
                }
            ],
        },
    }


def _alertmanager(url: str) -> dict[str, Any]:
    return {
        "name": "Alerts",
        "uid": endpoints.ALERTS_UID,
        "type": "alertmanager",
        "access": "proxy",
        "url": url,
        "editable": False,
        # Grafana's own rules, of which there are none, stay with Grafana's own Alertmanager.
        "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
    }


def _trace_links(backend: str, *, logs: bool) -> dict[str, Any]:
    """From a span to the metrics of its service, and to the lines that were written in its trace.

    `$$` reaches Grafana as `$`: provisioning files expand variables of the environment.
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
        # Lookup by id without a time range only works where the store ignores the range anyway.
        **(
            {"traceQuery": {"timeShiftEnabled": True, "spanStartTimeShift": "-1h", "spanEndTimeShift": "1h"}}
            if backend == "tempo"
            else {}
        ),
    }
