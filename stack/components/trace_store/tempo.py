"""Tempo as a single binary, with blocks on its own volume or in object storage."""

from typing import Final

import pulumi
import yaml

from contracts import endpoints, versions
from stack.components.encryption.clients import base_url
from stack.components.encryption.proxy.pod import listen_address, protect
from stack.components.shared.environment import go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.object_storage import identity_annotations, identity_labels, storage_files
from stack.components.shared.object_storage_access import storage_secret_files, storage_variables
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, stateful_set
from stack.components.trace_store.config import TEMPO_CONFIG, TEMPO_DATA, tempo_config
from stack.components.trace_store.interface import DISTRIBUTED_TEMPO, TEMPO, TraceStoreArgs

UID: Final = 10001


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
        text = yaml.safe_dump(
            tempo_config(args.settings, args.retention, listen_address(args.protection)), sort_keys=False
        )
        files = {"tempo.yaml": text, **storage_files(bucket)}
        config = config_map("tempo-config", "trace-store", args.namespace, files, child)
        pod = Pod(
            name=endpoints.TEMPO,
            component="trace-store",
            user=UID,
            container=Container(
                image=versions.TEMPO,
                size=args.settings,
                ports={"http": endpoints.TEMPO_HTTP_PORT, "otlp-grpc": endpoints.OTLP_GRPC_PORT},
                args=[f"-config.file={TEMPO_CONFIG}/tempo.yaml"],
                env=[*go_memory_limit(args.settings), *storage_variables(bucket, args.secret)],
            ),
            storage=Storage(
                config_maps={TEMPO_CONFIG: config.metadata.name},
                configuration=files,
                secrets=storage_secret_files(bucket, args.secret),
                data=TEMPO_DATA,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.TEMPO_READY, endpoints.TEMPO_HTTP_PORT, period=2),
                liveness=tcp_probe(endpoints.TEMPO_HTTP_PORT),
            ),
            identity=identity_annotations(bucket),
            identity_labels=identity_labels(bucket),
        )
        pod = protect(pod, args.protection, child)
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.TEMPO}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(base_url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT, args.protection))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})
