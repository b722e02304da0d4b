"""Tempo in parts, with Kafka as their log: a span is acknowledged when it is in Kafka.

Distributors write the spans to Kafka. Live stores read them there and answer queries about the last half hour; block
builders read the same spans and write blocks to object storage. Each live store and each block builder reads the
partition that has its own ordinal. Queries go to the query frontend, which has Tempo's own name, so clients need not
know in how many parts Tempo runs.
"""

from collections.abc import Mapping
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, versions
from contracts.connections import TEMPO_WITH_KAFKA
from stack.components.encryption.clients import base_url, speaks_tls
from stack.components.encryption.proxy.pod import ProxyOptions, listen_address, protect
from stack.components.kafka.access import own_access
from stack.components.kafka.proxy import LOCAL_ADDRESS, KafkaProxy, KafkaProxyArgs
from stack.components.kafka.rights import INGEST_TOPIC
from stack.components.kafka.topic import Topic, topic_container
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import field_variable, go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.object_storage import identity_annotations, identity_labels, storage_files
from stack.components.shared.object_storage_access import storage_secret_files, storage_variables
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.settings import Size
from stack.components.shared.storage import Storage
from stack.components.shared.workload import Volume, deployment, stateful_set
from stack.components.trace_store.config import ADDRESS_VARIABLE, TEMPO_CONFIG, TEMPO_DATA, distributed_config
from stack.components.trace_store.interface import DISTRIBUTED_TEMPO, TEMPO, TraceStoreArgs
from stack.components.trace_store.scrape import pods
from stack.components.trace_store.tempo import UID

_MAX_MESSAGE_BYTES: Final = 16 * 2**20
_PART_OF_DISK: Final = 4
"""The topic of spans may use one part of Kafka's disk, if the disk is divided into this many parts."""
_SMALL: Final = Size(memory="512Mi")
_SCHEDULER_VOLUME: Final = "1Gi"


class DistributedTempo(pulumi.ComponentResource):
    """Tempo as one workload for each of its parts."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        alias = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=TEMPO)])  # see `Tempo`
        super().__init__(DISTRIBUTED_TEMPO, name, None, pulumi.ResourceOptions.merge(opts, alias))
        self._child = pulumi.ResourceOptions(parent=self)
        self._args = args
        self._replicas = pods(args.settings)
        self._proxy = self._kafka_proxy()
        self._peers = (
            args.protection.peers(endpoints.TEMPO, "trace-store", TEMPO_CONFIG, self._child)
            if speaks_tls(args.protection)
            else None
        )
        tls = self._peers.tls if self._peers else None
        self._brokers = own_access(LOCAL_ADDRESS, 0, None) if self._proxy else args.brokers
        text = pulumi.Output.from_input(self._brokers.bootstrap_servers).apply(
            lambda brokers: yaml.safe_dump(
                distributed_config(args.settings, args.retention, brokers, listen_address(args.protection), tls),
                sort_keys=False,
            )
        )
        self._files: dict[str, pulumi.Input[str]] = {
            "tempo.yaml": text,
            **storage_files(args.settings.object_storage),
            **(self._peers.files if self._peers else {}),
        }
        self._config = config_map("tempo-config", "trace-store", args.namespace, self._files, self._child)
        self._create_parts()
        self.otlp_endpoint = pulumi.Output.from_input(f"{endpoints.TEMPO_DISTRIBUTOR}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(base_url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT, args.protection))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})

    def _kafka_proxy(self) -> KafkaProxy | None:
        """Create what the parts need to reach encrypted brokers."""
        if not self._args.brokers.callers:
            return None
        args = KafkaProxyArgs(
            namespace=self._args.namespace,
            client=endpoints.TEMPO_KAFKA,
            component="trace-store",
            brokers=self._args.kafka.brokers,
            issuer=self._args.brokers.callers,
        )
        return KafkaProxy("tempo-kafka-proxy", args, self._child)

    def _create_parts(self) -> None:
        size = self._args.settings.distributed
        assert size
        topic = Topic.with_part_of_disk(
            INGEST_TOPIC, self._args.kafka, _PART_OF_DISK, max_message_bytes=_MAX_MESSAGE_BYTES
        )
        init = (topic_container(topic, self._brokers, endpoints.TEMPO, self._args.secret),)
        otlp, gossip = {"otlp-grpc": endpoints.OTLP_GRPC_PORT}, {"gossip": endpoints.TEMPO_GOSSIP_PORT}
        live_store = self._pod(endpoints.TEMPO_LIVE_STORE, "live-store", size, gossip, data=TEMPO_DATA, init=init)
        builder = self._pod(endpoints.TEMPO_BLOCK_BUILDER, "block-builder", size, data=TEMPO_DATA, init=init)
        scheduler = self._pod(endpoints.TEMPO_BACKEND_SCHEDULER, "backend-scheduler", _SMALL, data=TEMPO_DATA)
        self._stateful_set(live_store, size.volume)
        self._stateful_set(builder, size.volume)
        self._stateful_set(scheduler, _SCHEDULER_VOLUME)
        self._deployment(self._pod(endpoints.TEMPO_DISTRIBUTOR, "distributor", size, otlp))
        self._deployment(self._pod(endpoints.TEMPO, "query-frontend", _SMALL))
        self._deployment(self._pod(endpoints.TEMPO_QUERIER, "querier", size))
        self._deployment(self._pod(endpoints.TEMPO_BACKEND_WORKER, "backend-worker", size))

    def _pod(
        self,
        name: str,
        target: str,
        size: Size,
        ports: Mapping[str, int] = {},
        *,
        data: str | None = None,
        init: tuple[Any, ...] = (),
    ) -> Pod:
        """Return the pods of one part.

        Args:
            name: of its workload.
            target: what Tempo calls the part.
            size: of each pod.
            ports: besides HTTP and gRPC, which all parts have.
            data: mount path of its volume, if it has one.
            init: its init containers.
        """
        bucket, secret, peers = self._args.settings.object_storage, self._args.secret, self._peers
        pod = Pod(
            name=name,
            component="trace-store",
            user=UID,
            container=Container(
                image=versions.TEMPO,
                size=size,
                ports={"http": endpoints.TEMPO_HTTP_PORT, "grpc": endpoints.TEMPO_GRPC_PORT, **ports},
                args=[
                    f"-config.file={TEMPO_CONFIG}/tempo.yaml",
                    *(["-config.expand-env=true"] if peers else []),
                    f"-target={target}",
                ],
                env=[
                    *go_memory_limit(size),
                    *storage_variables(bucket, secret),
                    *([field_variable(ADDRESS_VARIABLE, "status.podIP")] if peers else []),
                ],
            ),
            storage=Storage(
                config_maps={TEMPO_CONFIG: self._config.metadata.name},
                configuration=self._files,
                secrets={**storage_secret_files(bucket, secret), **(peers.secrets if peers else {})},
                data=data,
            ),
            probes=Probes(
                readiness=http_probe(endpoints.TEMPO_READY, endpoints.TEMPO_HTTP_PORT, period=2),
                liveness=tcp_probe(endpoints.TEMPO_HTTP_PORT),
            ),
            shutdown=Shutdown(grace_seconds=60),
            init=init,
            identity=identity_annotations(bucket),
            identity_labels=identity_labels(bucket),
        )
        if self._proxy and name in TEMPO_WITH_KAFKA:
            pod = self._proxy.attach(pod)
        # The parts know each other by certificates; they have no tokens.
        gossip = peers.through_proxy(endpoints.TEMPO_GOSSIP_PORT) if peers else None
        options = ProxyOptions(plain=("grpc", "gossip"), gossip=gossip)
        return protect(pod, self._args.protection, self._child, options)

    def _stateful_set(self, pod: Pod, size: str) -> None:
        args = self._args
        services(pod, args.namespace, self._child)
        volume = Volume(size=size, storage_class=args.storage_class)
        stateful_set(pod, args.namespace, volume, self._child, replicas=self._replicas[pod.name])

    def _deployment(self, pod: Pod) -> None:
        services(pod, self._args.namespace, self._child)
        deployment(pod, self._args.namespace, self._replicas[pod.name], self._child)
