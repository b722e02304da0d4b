"""Tempo in parts, with Kafka in front of them: acknowledged is what Kafka has.

Distributors write spans to Kafka and acknowledge. Live stores read them from there and answer for the last half hour;
block builders read the same and write blocks to object storage. Each of these reads the partition of its own number.
Queries go to the frontend, which keeps Tempo's own name: who asks need not know in how many parts it runs.
"""

from collections.abc import Mapping
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.kafka.component import topic_container
from stack.components.shared import workload
from stack.components.shared.settings import Size
from stack.components.trace_store import tempo
from stack.components.trace_store.interface import DISTRIBUTED_TEMPO, TEMPO, TraceStoreArgs
from stack.components.trace_store.settings import Distributed, Traces

_TOPIC: Final = "tempo-ingest"
_MAX_MESSAGE_BYTES: Final = 16 * 2**20
# The longest that live stores and block builders can be away before Kafka drops what they have not read.
_TOPIC_HOURS: Final = 24
_SMALL: Final = Size(memory="512Mi")


def distributed_config(settings: Traces, retention: str, bootstrap_servers: str) -> dict[str, Any]:
    """The one configuration of all parts; each takes what it needs from it."""
    grpc = endpoints.TEMPO_GRPC_PORT
    config = tempo.tempo_config(settings, retention)
    # Nobody writes to it here, yet every part that reads blocks opens it.
    config["storage"]["trace"]["wal"]["path"] = "/tmp/wal"
    # A live store that was killed no longer answers for what it had read, until a block with it is noticed: after this
    # and the block builder's cycle. The default is five minutes.
    config["storage"]["trace"]["blocklist_poll"] = "1m"
    config["backend_worker"] |= {"backend_scheduler_addr": f"{endpoints.TEMPO_BACKEND_SCHEDULER}:{grpc}"}
    return config | {
        "stream_over_http_enabled": True,
        "memberlist": {
            "bind_port": endpoints.TEMPO_GOSSIP_PORT,
            "join_members": [f"{endpoints.pods(endpoints.TEMPO_LIVE_STORE)}:{endpoints.TEMPO_GOSSIP_PORT}"],
            "abort_if_cluster_join_fails": False,
        },
        "ingest": {
            "kafka": {
                "address": bootstrap_servers,
                "topic": _TOPIC,
                # The topic is made before the parts start, with the stack's limits.
                "auto_create_topic_enabled": False,
            }
        },
        "live_store": {
            "wal": {"path": f"{tempo.DATA}/live-store/traces"},
            "shutdown_marker_dir": f"{tempo.DATA}/live-store/shutdown-marker",
            # Ready is who has caught up: a rolling restart leaves no hole in the answers.
            "readiness_target_lag": "5s",
            "readiness_max_wait": "5m",
        },
        "block_builder": {
            "wal": {"path": f"{tempo.DATA}/block-builder/traces"},
            "partitions_per_instance": 1,
            "consume_cycle_duration": "1m",
        },
        "backend_scheduler": {"local_work_path": f"{tempo.DATA}/scheduler"},
        "querier": {"frontend_worker": {"frontend_address": f"{endpoints.pods(endpoints.TEMPO)}:{grpc}"}},
    }


class DistributedTempo(pulumi.ComponentResource):
    """Tempo as one workload for each of its duties."""

    otlp_endpoint: pulumi.Output[str]
    query_url: pulumi.Output[str]

    def __init__(self, name: str, args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        before = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=TEMPO)])  # see `Tempo`
        super().__init__(DISTRIBUTED_TEMPO, name, None, pulumi.ResourceOptions.merge(opts, before))
        self._child = pulumi.ResourceOptions(parent=self)
        self._args = args
        assert args.settings.distributed
        parts: Distributed = args.settings.distributed
        text = pulumi.Output.from_input(args.bootstrap_servers).apply(
            lambda brokers: yaml.safe_dump(distributed_config(args.settings, args.retention, brokers), sort_keys=False)
        )
        self._files = {"tempo.yaml": text}
        self._config = workload.config_map("tempo-config", "trace-store", args.namespace, self._files, self._child)
        topic = topic_container(
            _TOPIC,
            bootstrap_servers=args.bootstrap_servers,
            partitions=args.kafka.partitions,
            # A quarter of Kafka's disk.
            retention_bytes=quantity_bytes(args.kafka.volume) // 4 // args.kafka.partitions,
            retention_hours=_TOPIC_HOURS,
            max_message_bytes=_MAX_MESSAGE_BYTES,
        )
        gossip = {"gossip": endpoints.TEMPO_GOSSIP_PORT}
        distributor = self._pod(
            endpoints.TEMPO_DISTRIBUTOR, "distributor", parts, {"otlp-grpc": endpoints.OTLP_GRPC_PORT}
        )
        live_store = self._pod(endpoints.TEMPO_LIVE_STORE, "live-store", parts, gossip, data=tempo.DATA, init=(topic,))
        builder = self._pod(endpoints.TEMPO_BLOCK_BUILDER, "block-builder", parts, data=tempo.DATA, init=(topic,))
        scheduler = self._pod(endpoints.TEMPO_BACKEND_SCHEDULER, "backend-scheduler", _SMALL, data=tempo.DATA)
        for pod in (live_store, builder):
            self._stateful_set(pod, parts.volume, parts.replicas)
        self._stateful_set(scheduler, "1Gi", 1)
        self._deployment(distributor, parts.replicas)
        self._deployment(self._pod(endpoints.TEMPO, "query-frontend", _SMALL), 1)
        self._deployment(self._pod(endpoints.TEMPO_QUERIER, "querier", parts), parts.replicas)
        self._deployment(self._pod(endpoints.TEMPO_BACKEND_WORKER, "backend-worker", parts), 1)
        self.otlp_endpoint = pulumi.Output.from_input(f"{distributor.name}:{endpoints.OTLP_GRPC_PORT}")
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.TEMPO, endpoints.TEMPO_HTTP_PORT))
        self.register_outputs({"otlp_endpoint": self.otlp_endpoint, "query_url": self.query_url})

    def _pod(
        self,
        name: str,
        target: str,
        size: Size,
        ports: Mapping[str, int] = {},
        *,
        data: str | None = None,
        init: tuple[Any, ...] = (),
    ) -> workload.Pod:
        bucket = self._args.settings.object_storage
        assert bucket
        return workload.Pod(
            name=name,
            component="trace-store",
            image=versions.TEMPO,
            user=tempo.UID,
            size=size,
            ports={"http": endpoints.TEMPO_HTTP_PORT, "grpc": endpoints.TEMPO_GRPC_PORT, **ports},
            args=[f"-config.file={tempo.CONFIG}/tempo.yaml", f"-target={target}"],
            env=[*workload.go_env(size), *tempo.object_storage_keys(self._args.secret)],
            files={tempo.CONFIG: self._config.metadata.name},
            configuration=self._files,
            data=data,
            init=init,
            identity=bucket.identity,
            readiness=workload.http_probe("/ready", endpoints.TEMPO_HTTP_PORT, period=2),
            liveness=workload.tcp_probe(endpoints.TEMPO_HTTP_PORT),
            grace_seconds=60,
        )

    def _stateful_set(self, pod: workload.Pod, volume: str, replicas: int) -> None:
        args = self._args
        workload.services(pod, args.namespace, self._child)
        workload.stateful_set(pod, args.namespace, volume, args.storage_class, self._child, replicas=replicas)

    def _deployment(self, pod: workload.Pod, replicas: int) -> None:
        workload.services(pod, self._args.namespace, self._child)
        workload.deployment(pod, self._args.namespace, replicas, self._child)
