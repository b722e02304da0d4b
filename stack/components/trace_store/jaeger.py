"""Jaeger 2, the trace store where Tempo cannot be had or Jaeger is preferred: one process, Badger on its own volume.

It acknowledges what is on the disk: there is no queue before the store, and Badger waits for the disk. The official
image waits once a span (some thousand spans a second at best); the one that `local/images/jaeger` builds waits once for
all requests that are under way, from the same configuration.
"""

from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, versions
from stack.components.shared import workload
from stack.components.trace_store.interface import TraceStoreArgs

_UID: Final = 10001
_CONFIG: Final = "/etc/jaeger"
DATA: Final = "/var/jaeger"
"""Where Badger's files are."""


def jaeger_config(retention: str) -> dict[str, Any]:
    """Jaeger 2's configuration, which is one of the Collector it is built on."""
    store = {
        "directories": {"keys": f"{DATA}/keys", "values": f"{DATA}/values"},
        "ephemeral": False,
        # The default acknowledges spans that are only in memory.
        "consistency": True,
        "ttl": {"spans": retention},
    }
    any_address = "0.0.0.0"
    return {
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"{any_address}:{endpoints.JAEGER_HEALTH_PORT}"}},
            "jaeger_storage": {"backends": {"badger": {"badger": store}}},
            "jaeger_query": {
                "storage": {"traces": "badger"},
                # It would trace itself otherwise, and show up among the services.
                "enable_tracing": False,
                "http": {"endpoint": f"{any_address}:{endpoints.JAEGER_QUERY_PORT}"},
                # Nobody asks over gRPC.
                "grpc": {"endpoint": f"localhost:{endpoints.JAEGER_QUERY_GRPC_PORT}"},
            },
        },
        "receivers": {
            "otlp": {
                "protocols": {
                    # The default of 4 MiB refuses a batch of long spans for good.
                    "grpc": {
                        "endpoint": f"{any_address}:{endpoints.OTLP_GRPC_PORT}",
                        "max_recv_msg_size_mib": endpoints.OTLP_MAX_MIB,
                    }
                }
            }
        },
        # No queue, and no batch processor before it: both would acknowledge what they only hold in memory.
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "badger", "queue": {"enabled": False}}},
        "service": {
            "extensions": ["healthcheckv2", "jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {
                "metrics": {
                    "readers": [
                        {
                            "pull": {
                                "exporter": {
                                    "prometheus": {"host": any_address, "port": endpoints.JAEGER_TELEMETRY_PORT}
                                }
                            }
                        }
                    ]
                }
            },
        },
    }


class Jaeger(pulumi.ComponentResource):
    """Jaeger as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Jaeger", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"jaeger.yaml": yaml.safe_dump(jaeger_config(args.retention), sort_keys=False)}
        config = workload.config_map("jaeger-config", "trace-store", args.namespace, files, child)
        pod = workload.Pod(
            name=endpoints.JAEGER,
            component="trace-store",
            image=versions.JAEGER,
            user=_UID,
            size=args.settings,
            ports={
                "http": endpoints.JAEGER_QUERY_PORT,
                "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                "telemetry": endpoints.JAEGER_TELEMETRY_PORT,
                "health": endpoints.JAEGER_HEALTH_PORT,
            },
            args=[f"--config={_CONFIG}/jaeger.yaml"],
            # Badger's tables in memory grow with the load: the garbage collector works harder before the limit is met.
            env=workload.go_env(args.settings),
            files={_CONFIG: config.metadata.name},
            configuration=files,
            data=DATA,
            readiness=workload.http_probe("/status", endpoints.JAEGER_HEALTH_PORT, period=2),
            liveness=workload.http_probe("/status", endpoints.JAEGER_HEALTH_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.JAEGER}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.JAEGER, endpoints.JAEGER_QUERY_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
