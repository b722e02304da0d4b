"""The stack of `make up`, as other stacks on its cluster use it."""

from typing import Any

import kubernetes

from contracts import endpoints
from stack.kubernetes.client import connect
from stack.settings import load


def stores_of_the_local_stack() -> dict[str, Any]:
    """Return the sections with which another stack uses them; Grafana, outside of the cluster, has no names for it."""
    settings = load("local")
    core = kubernetes.client.CoreV1Api(connect(settings.cluster))

    def url(service: str, port: int) -> str:
        return endpoints.url(core.read_namespaced_service(service, settings.cluster.namespace).spec.cluster_ip, port)

    store, port = endpoints.TRACE_QUERY[settings.traces.backend]
    traces = {"otlpUrl": url(store, endpoints.OTLP_GRPC_PORT), "queryUrl": url(store, port)}
    loki = url(endpoints.LOKI, endpoints.LOKI_PORT) if settings.logs.enabled else ""
    logs = {"external": {"otlpUrl": f"{loki}/otlp", "protocol": "http", "queryUrl": loki}}
    alertmanager = (
        {"external": {"urls": [url(endpoints.ALERTMANAGER, endpoints.ALERTMANAGER_PORT)]}}
        if settings.alerting.enabled
        else {"enabled": False}
    )
    return {
        "traces": {"backend": settings.traces.backend, "external": traces},
        "logs": logs if loki else {"enabled": False},
        "alerting": alertmanager,
    }
