"""Tempo, single binary with blocks on its own volume."""

from typing import Any, Final

import pulumi
import yaml

from stack import endpoints, versions, workload
from stack.settings import Traces
from stack.trace_store import TraceStoreArgs

_UID: Final = 10001
_CONFIG: Final = "/etc/tempo"
_DATA: Final = "/var/tempo"


def tempo_config(settings: Traces) -> dict[str, Any]:
    """Tempo 3's configuration. It refuses `ingester`, `compactor` and flat overrides of earlier versions."""
    return {
        "server": {"http_listen_port": endpoints.TEMPO_HTTP_PORT},
        "usage_report": {"reporting_enabled": False},
        "distributor": {
            # Without an address it listens on localhost only.
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{endpoints.OTLP_GRPC_PORT}"}}}}
        },
        "backend_scheduler": {"provider": {"compaction": {"compaction": {"block_retention": settings.retention}}}},
        "storage": {
            "trace": {
                "backend": "local",
                "wal": {"path": f"{_DATA}/wal"},
                "local": {"path": f"{_DATA}/blocks"},
            }
        },
    }


class Tempo(pulumi.ComponentResource):
    """Tempo as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Tempo", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"tempo.yaml": yaml.safe_dump(tempo_config(args.settings), sort_keys=False)}
        config = workload.config_map("tempo-config", "trace-store", args.namespace, files, child)
        pod = workload.Pod(
            name=endpoints.TEMPO,
            component="trace-store",
            image=versions.TEMPO,
            user=_UID,
            size=args.settings,
            ports={"http": endpoints.TEMPO_HTTP_PORT, "otlp-grpc": endpoints.OTLP_GRPC_PORT},
            args=[f"-config.file={_CONFIG}/tempo.yaml"],
            files={_CONFIG: config.metadata.name},
            configuration=files,
            data=_DATA,
            readiness=workload.http_probe("/ready", endpoints.TEMPO_HTTP_PORT, period=2),
            liveness=workload.tcp_probe(endpoints.TEMPO_HTTP_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.TEMPO}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
