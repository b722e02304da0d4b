"""Jaeger, the trace store where Tempo cannot be had or Jaeger is preferred: all in one, Badger on its own volume."""

from typing import Final

import pulumi

from stack import endpoints, versions, workload
from stack.trace_store import TraceStoreArgs

_UID: Final = 10001
_DATA: Final = "/var/jaeger"


class Jaeger(pulumi.ComponentResource):
    """Jaeger as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Jaeger", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        pod = workload.Pod(
            name=endpoints.JAEGER,
            component="trace-store",
            image=versions.JAEGER,
            user=_UID,
            size=args.settings,
            ports={
                "http": endpoints.JAEGER_QUERY_PORT,
                "otlp-grpc": endpoints.OTLP_GRPC_PORT,
                "admin": endpoints.JAEGER_ADMIN_PORT,
            },
            args=[
                f"--collector.otlp.grpc.host-port=:{endpoints.OTLP_GRPC_PORT}",
                "--badger.ephemeral=false",
                # The default acknowledges spans that a crash would lose.
                "--badger.consistency=true",
                f"--badger.directory-key={_DATA}/keys",
                f"--badger.directory-value={_DATA}/values",
                f"--badger.span-store-ttl={args.settings.retention}",
            ],
            # It would trace itself otherwise, and show up among the services.
            env=workload.env(SPAN_STORAGE_TYPE="badger", OTEL_TRACES_SAMPLER="always_off"),
            data=_DATA,
            readiness=workload.http_probe("/", endpoints.JAEGER_ADMIN_PORT),
            liveness=workload.http_probe("/", endpoints.JAEGER_ADMIN_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.JAEGER}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.JAEGER, endpoints.JAEGER_QUERY_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
