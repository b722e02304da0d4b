"""Loki, the log store: single binary with chunks, index and write-ahead log on its own volume."""

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml

from contracts import endpoints, versions
from contracts.section import quantity_bytes
from stack.components.loki.settings import Logs
from stack.components.shared import workload

_UID: Final = 10001
_CONFIG: Final = "/etc/loki"
_DATA: Final = "/var/loki"
_GRPC_PORT: Final = 9095
_ITSELF: Final = f"127.0.0.1:{_GRPC_PORT}"

INDEXED: Final = ("service.name", "service.namespace", "deployment.environment.name", "k8s.namespace.name")
"""Resource attributes that become labels, and so streams. All others, the trace id too, are structured metadata: they
are filtered by (`{service_name="gateway"} | trace_id="…"`), and what they hold makes no index larger."""

# One request may carry what a Collector batches (`endpoints.OTLP_BATCH_BYTES`), and is longer within Loki. Its own
# limits (4 MB between its parts, 6 MB at once) would refuse a large one for good, and the Collector offer it for good.
_REQUEST_BYTES: Final = 64 * 2**20


def loki_config(settings: Logs, retention: str) -> dict[str, Any]:
    """Loki's configuration; what it does not say is Loki's default."""
    memory_mb = quantity_bytes(settings.memory) // 2**20
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": {
            "http_listen_port": endpoints.LOKI_PORT,
            # Its parts talk to each other over gRPC, without authentication: nobody else is to.
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": _GRPC_PORT,
            "grpc_server_max_recv_msg_size": _REQUEST_BYTES,
            "grpc_server_max_send_msg_size": _REQUEST_BYTES,
            "log_level": "warn",
        },
        # By themselves they look for each other every 10 s, and nothing is ready before they have met.
        "frontend": {"scheduler_address": _ITSELF},
        "frontend_worker": {"scheduler_address": _ITSELF},
        "common": {
            "path_prefix": _DATA,
            "instance_addr": "127.0.0.1",
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {"chunks_directory": f"{_DATA}/chunks", "rules_directory": f"{_DATA}/rules"},
            },
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": {
            # What it acknowledges outlives the process, not a power cut: Loki writes this log without fsync.
            "wal": {
                "enabled": True,
                "dir": f"{_DATA}/wal",
                # Replaying writes chunks out above this, so that a restart needs no more memory than what ran before.
                "replay_memory_ceiling": f"{memory_mb // 2}MB",
                # On a full disk it would go on acknowledging what it only has in memory.
                "disk_full_threshold": 0.9,
            },
            # A line may be half of this behind the newest of its stream; later ones are refused. After an outage the
            # Collectors' queues come back at different speeds, and none of it is to be refused.
            "max_chunk_age": "24h",
            # However late a line, it is found at once, not only when its chunk is written out: -1 is no limit.
            "query_store_max_look_back_period": "-1ns",
            "lifecycler": {"min_ready_duration": "0s"},
        },
        "limits_config": {
            "retention_period": retention,
            # Whoever reaches it may ask it to delete, without a name or a password.
            "deletion_mode": "disabled",
            # Nothing is found that is past its time, whenever the compactor comes to delete it.
            "max_query_lookback": retention,
            "max_query_length": "0s",
            "reject_old_samples": True,
            "reject_old_samples_max_age": retention,
            "allow_structured_metadata": True,
            "otlp_config": {
                "resource_attributes": {
                    # The defaults make a stream of every pod and every restart.
                    "ignore_defaults": True,
                    "attributes_config": [{"action": "index_label", "attributes": list(INDEXED)}],
                }
            },
            "max_label_names_per_series": len(INDEXED) + 1,
            "max_global_streams_per_user": 1000,
            # A line too long is cut, not dropped. A stack trace is metadata, and one too long would be dropped.
            "max_line_size": "256KB",
            "max_line_size_truncate": True,
            "max_structured_metadata_size": "256KB",
            # Above these the Collectors are told to come again, and keep what they have on disk.
            "ingestion_rate_mb": 16,
            "ingestion_burst_size_mb": _REQUEST_BYTES // 2**20,
            "per_stream_rate_limit": "16MB",
            "per_stream_rate_limit_burst": f"{_REQUEST_BYTES // 2**20}MB",
        },
        "compactor": {
            "working_directory": f"{_DATA}/compactor",
            "retention_enabled": True,  # without it the retention above is not enforced at all
            "delete_request_store": "filesystem",
        },
        # A hundred megabytes each by default, and there are eight of them.
        "chunk_store_config": {
            "chunk_cache_config": {"embedded_cache": {"enabled": True, "max_size_mb": max(1, memory_mb // 8)}}
        },
        "query_range": {
            "results_cache": {
                "cache": {"embedded_cache": {"enabled": True, "max_size_mb": max(1, memory_mb // 64)}},
            }
        },
    }


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    namespace: pulumi.Input[str]
    settings: Logs
    retention: str
    storage_class: str | None


class Loki(pulumi.ComponentResource):
    """Loki as one process."""

    otlp_url: pulumi.Output[str]
    """URL that takes OTLP logs over HTTP, without `/v1/logs`."""
    query_url: pulumi.Output[str]
    """Base URL of its query API, the one that Grafana's datasource uses."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Loki", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"loki.yaml": yaml.safe_dump(loki_config(args.settings, args.retention), sort_keys=False)}
        config = workload.config_map("loki-config", "log-store", args.namespace, files, child)
        pod = workload.Pod(
            name=endpoints.LOKI,
            component="log-store",
            image=versions.LOKI,
            user=_UID,
            size=args.settings,
            ports={"http": endpoints.LOKI_PORT},
            args=[f"-config.file={_CONFIG}/loki.yaml"],
            env=workload.go_env(args.settings),
            files={_CONFIG: config.metadata.name},
            configuration=files,
            data=_DATA,
            readiness=workload.http_probe("/ready", endpoints.LOKI_PORT, period=2),
            # Not /ready: one that replays its log is alive.
            liveness=workload.tcp_probe(endpoints.LOKI_PORT),
            grace_seconds=60,
        )
        workload.services(pod, args.namespace, child)
        workload.stateful_set(pod, args.namespace, args.settings.volume, args.storage_class, child)
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.LOKI, endpoints.LOKI_PORT))
        self.otlp_url = self.query_url.apply(lambda url: f"{url}/otlp")
        self.register_outputs({"otlp_url": self.otlp_url, "query_url": self.query_url})
