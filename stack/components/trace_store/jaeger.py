"""Jaeger 2 as one process, with Badger on its own volume.

Jaeger acknowledges spans that are on disk: it has no queue before the store, and Badger waits for the disk. The
official image waits once a span, so it accepts a few thousand spans a second at best. The image that
`local/images/jaeger` builds waits once for all concurrent requests, with the same configuration.
"""

from typing import Final

import pulumi
import yaml

from contracts import endpoints, versions
from stack.components.encryption.clients import base_url
from stack.components.encryption.proxy.pod import ProxyOptions, listen_address, protect
from stack.components.shared.environment import go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, stateful_set
from stack.components.trace_store.config import JAEGER_DATA, jaeger_config
from stack.components.trace_store.interface import TraceStoreArgs

_UID: Final = 10001
_CONFIG: Final = "/etc/jaeger"


class Jaeger(pulumi.ComponentResource):
    """Jaeger as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Jaeger", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {
            "jaeger.yaml": yaml.safe_dump(
                jaeger_config(args.retention, listen_address(args.protection)), sort_keys=False
            )
        }
        config = config_map("jaeger-config", "trace-store", args.namespace, files, child)
        pod = Pod(
            name=endpoints.JAEGER,
            component="trace-store",
            user=_UID,
            container=Container(
                image=versions.JAEGER,
                size=args.settings,
                ports={
                    "http": endpoints.JAEGER_QUERY_PORT,
                    "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                    "telemetry": endpoints.JAEGER_TELEMETRY_PORT,
                    "health": endpoints.JAEGER_HEALTH_PORT,
                },
                args=[f"--config={_CONFIG}/jaeger.yaml"],
                # Badger's tables in memory grow with the load.
                env=go_memory_limit(args.settings),
            ),
            storage=Storage(config_maps={_CONFIG: config.metadata.name}, configuration=files, data=JAEGER_DATA),
            probes=Probes(
                readiness=http_probe(endpoints.JAEGER_STATUS, endpoints.JAEGER_HEALTH_PORT, period=2),
                liveness=http_probe(endpoints.JAEGER_STATUS, endpoints.JAEGER_HEALTH_PORT),
            ),
        )
        pod = protect(pod, args.protection, child, ProxyOptions(plain=("health",)))
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.JAEGER}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(
            base_url(endpoints.JAEGER, endpoints.JAEGER_QUERY_PORT, args.protection)
        )
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
