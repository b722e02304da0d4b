"""Tempo as a single binary, with blocks on its own volume or in object storage."""

from collections.abc import Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as k8s
import yaml

from contracts import endpoints, secret_keys, versions
from stack.components.shared.environment import go_memory_limit, secret_variable
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, stateful_set
from stack.components.trace_store.config import TEMPO_DATA, tempo_config
from stack.components.trace_store.interface import DISTRIBUTED_TEMPO, TEMPO, TraceStoreArgs

UID: Final = 10001
CONFIG: Final = "/etc/tempo"
"""Folder of the configuration."""


def object_storage_keys(secret: pulumi.Input[str]) -> Sequence[k8s.core.v1.EnvVarArgs]:
    """Return the variables that the S3 client reads first; if they are unset, it uses the pod's own identity."""
    return (
        secret_variable("AWS_ACCESS_KEY_ID", secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret),
        secret_variable("AWS_SECRET_ACCESS_KEY", secret_keys.OBJECT_STORAGE_SECRET_KEY, secret),
    )


class Tempo(pulumi.ComponentResource):
    """Tempo as one process."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # Both forms of Tempo have a Service and a ConfigMap with the same names. Without the alias, Pulumi would
        # create the objects of the one form, and then delete those of the other, which are the same objects.
        alias = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=DISTRIBUTED_TEMPO)])
        super().__init__(TEMPO, name, None, pulumi.ResourceOptions.merge(opts, alias))
        child = pulumi.ResourceOptions(parent=self)
        bucket = args.settings.object_storage
        files = {"tempo.yaml": yaml.safe_dump(tempo_config(args.settings, args.retention), sort_keys=False)}
        config = config_map("tempo-config", "trace-store", args.namespace, files, child)
        pod = Pod(
            name=endpoints.TEMPO,
            component="trace-store",
            user=UID,
            container=Container(
                image=versions.TEMPO,
                size=args.settings,
                ports={"http": endpoints.TEMPO_HTTP_PORT, "otlp-grpc": endpoints.OTLP_GRPC_PORT},
                args=[f"-config.file={CONFIG}/tempo.yaml"],
                env=[*go_memory_limit(args.settings), *(object_storage_keys(args.secret) if bucket else ())],
            ),
            storage=Storage(config_maps={CONFIG: config.metadata.name}, configuration=files, data=TEMPO_DATA),
            probes=Probes(
                readiness=http_probe(endpoints.TEMPO_READY, endpoints.TEMPO_HTTP_PORT, period=2),
                liveness=tcp_probe(endpoints.TEMPO_HTTP_PORT),
            ),
            identity=bucket.identity if bucket else {},
        )
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.TEMPO}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
