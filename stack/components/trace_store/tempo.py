"""Tempo as a single binary, with blocks on its own volume or in object storage."""

from collections.abc import Sequence
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s
import yaml

from contracts import endpoints, secret_keys, versions
from stack.components.secrets import component as secrets
from stack.components.shared import workload
from stack.components.trace_store.interface import DISTRIBUTED_TEMPO, TEMPO, TraceStoreArgs
from stack.components.trace_store.settings import ObjectStorage, Traces

UID: Final = 10001
CONFIG: Final = "/etc/tempo"
DATA: Final = "/var/tempo"


def pods(settings: Traces) -> tuple[str, ...]:
    """Names of the pods that Tempo runs in."""
    if settings.distributed is None:
        return (endpoints.TEMPO,)
    return (
        endpoints.TEMPO_DISTRIBUTOR,
        endpoints.TEMPO_LIVE_STORE,
        endpoints.TEMPO_BLOCK_BUILDER,
        endpoints.TEMPO,
        endpoints.TEMPO_QUERIER,
        endpoints.TEMPO_BACKEND_SCHEDULER,
        endpoints.TEMPO_BACKEND_WORKER,
    )


def tempo_config(settings: Traces, retention: str) -> dict[str, Any]:
    """Tempo 3's configuration. It refuses `ingester`, `compactor` and flat overrides of earlier versions."""
    return {
        "server": {"http_listen_port": endpoints.TEMPO_HTTP_PORT, "grpc_listen_port": endpoints.TEMPO_GRPC_PORT},
        "usage_report": {"reporting_enabled": False},
        "distributor": {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {
                            # Without an address it listens on localhost only.
                            "endpoint": f"0.0.0.0:{endpoints.OTLP_GRPC_PORT}",
                            # The default of 4 MiB refuses a batch of long spans for good.
                            "max_recv_msg_size_mib": endpoints.OTLP_MAX_MIB,
                        }
                    }
                }
            }
        },
        # The key of this name below backend_scheduler is read by nobody: the worker is what deletes.
        "backend_worker": {"compaction": {"block_retention": retention}},
        "storage": {"trace": {"wal": {"path": f"{DATA}/wal"}, **_blocks(settings.object_storage)}},
    }


def _blocks(bucket: ObjectStorage | None) -> dict[str, Any]:
    if bucket is None:
        return {"backend": "local", "local": {"path": f"{DATA}/blocks"}}
    keys = {"bucket": bucket.bucket, "endpoint": bucket.endpoint, "region": bucket.region, "prefix": bucket.prefix}
    return {
        "backend": "s3",
        "s3": {**{key: value for key, value in keys.items() if value}, "insecure": bucket.insecure},
    }


def object_storage_keys(secret: pulumi.Input[str]) -> Sequence[k8s.core.v1.EnvVarArgs]:
    """Where S3's client looks first; with none of them it asks for the pod's own identity."""
    return (
        secrets.reference("AWS_ACCESS_KEY_ID", secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret),
        secrets.reference("AWS_SECRET_ACCESS_KEY", secret_keys.OBJECT_STORAGE_SECRET_KEY, secret),
    )


class Tempo(pulumi.ComponentResource):
    """Tempo as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # Both forms of Tempo have a Service and a ConfigMap of the same names. Without the alias Pulumi would write the
        # one form's and then delete the other's, which are the same objects.
        before = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=DISTRIBUTED_TEMPO)])
        super().__init__(TEMPO, name, None, pulumi.ResourceOptions.merge(opts, before))
        child = pulumi.ResourceOptions(parent=self)
        files = {"tempo.yaml": yaml.safe_dump(tempo_config(args.settings, args.retention), sort_keys=False)}
        config = workload.config_map("tempo-config", "trace-store", args.namespace, files, child)
        pod = workload.Pod(
            name=endpoints.TEMPO,
            component="trace-store",
            image=versions.TEMPO,
            user=UID,
            size=args.settings,
            ports={"http": endpoints.TEMPO_HTTP_PORT, "otlp-grpc": endpoints.OTLP_GRPC_PORT},
            args=[f"-config.file={CONFIG}/tempo.yaml"],
            env=[
                *workload.go_env(args.settings),
                *(object_storage_keys(args.secret) if args.settings.object_storage else ()),
            ],
            files={CONFIG: config.metadata.name},
            configuration=files,
            data=DATA,
            identity=args.settings.object_storage.identity if args.settings.object_storage else {},
            readiness=workload.http_probe("/ready", endpoints.TEMPO_HTTP_PORT, period=2),
            liveness=workload.tcp_probe(endpoints.TEMPO_HTTP_PORT),
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.TEMPO}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
