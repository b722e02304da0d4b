"""Loki's configuration."""

from typing import Any, Final

from contracts import endpoints
from contracts.section import quantity_bytes
from stack.components.encryption import dskit
from stack.components.encryption.peers import PeerTls
from stack.components.loki.settings import Logs
from stack.components.shared.object_storage import AZURE_KEY_VARIABLE, CA_FILE, ObjectStorage

DATA: Final = "/var/loki"
"""Mount path of the volume."""
INDEXED: Final = ("service.name", "service.namespace", "deployment.environment.name", "k8s.namespace.name")
"""Resource attributes that become labels, and so streams. All other attributes, the trace id among them, are structured
metadata: queries can filter by them (`{service_name="gateway"} | trace_id="…"`), and they do not enlarge the index."""

CONFIG: Final = "/etc/loki"
"""Folder of the configuration."""
ADDRESS_VARIABLE: Final = "POD_IP"
"""Variable with the address at which one of several Lokis is reached by the others."""

_FOLDERS: Final = {"chunks_directory": f"{DATA}/chunks", "rules_directory": f"{DATA}/rules"}
_LOOPBACK: Final = "127.0.0.1"
_COPIES: Final = 3
"""Number of Lokis that have a line, if there are several. Two of them must acknowledge it."""
_REQUEST_BYTES: Final = 64 * 2**20
"""Largest request. It may be a Collector's largest batch (`endpoints.OTLP_BATCH_BYTES`), and is longer inside Loki.
With its default limits (4 MB between its parts, 6 MB at once) Loki would refuse a large batch each time that the
Collector sends it again."""


def loki_config(
    settings: Logs, retention: str, address: str | None = None, peers: PeerTls | None = None
) -> dict[str, Any]:
    """Return Loki's configuration; what is missing in it has Loki's default.

    The variables in it are for `-config.expand-env`.

    Args:
        settings: of the log store.
        retention: of lines.
        address: on which it listens for clients; any if None.
        peers: how several Lokis know each other; anyone who reaches their ports is one of them if None.
    """
    memory_mb = quantity_bytes(settings.memory) // 2**20
    shape = _one(in_bucket=settings.object_storage is not None) if settings.replicas == 1 else _several(peers)
    if address:
        shape["server"] |= {"http_listen_address": address}
    store, in_bucket = _object_store(settings.object_storage), settings.object_storage is not None
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        **shape,
        **(_bucket(settings.object_storage) if settings.object_storage else {}),
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": store,
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": _ingester(memory_mb, in_bucket=in_bucket),
        "limits_config": _limits(retention),
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "retention_enabled": True,  # without it, Loki ignores the retention period
            # Requests to delete are disabled. With the bucket as their store, no Loki could start while it is
            # unavailable.
            "delete_request_store": "filesystem",
        },
        # There are eight caches, and the default of each is a hundred megabytes.
        "chunk_store_config": {
            "chunk_cache_config": {"embedded_cache": {"enabled": True, "max_size_mb": max(1, memory_mb // 8)}}
        },
        "query_range": {
            "results_cache": {
                "cache": {"embedded_cache": {"enabled": True, "max_size_mb": max(1, memory_mb // 64)}},
            }
        },
    }


def _one(*, in_bucket: bool) -> dict[str, Any]:
    own = f"{_LOOPBACK}:{endpoints.LOKI_GRPC_PORT}"
    return {
        # Loki's parts use gRPC without authentication, so no other program may reach it.
        "server": _server(_LOOPBACK),
        # Otherwise they search for each other every 10 s, and Loki is not ready before they have met.
        "frontend": {"scheduler_address": own},
        "frontend_worker": {"scheduler_address": own},
        "common": {
            "path_prefix": DATA,
            "instance_addr": _LOOPBACK,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            **({} if in_bucket else {"storage": {"filesystem": _FOLDERS}}),
        },
    }


def _several(peers: PeerTls | None) -> dict[str, Any]:
    """Return how several Lokis find each other. Each has all parts, which talk to those of the others by gRPC."""
    address = f"${{{ADDRESS_VARIABLE}}}"
    return {
        "server": _server(address) | dskit.grpc_server(peers),
        "common": {
            "path_prefix": DATA,
            "instance_addr": address,
            "replication_factor": _COPIES,
            "ring": {"kvstore": {"store": "memberlist"}},
        },
        "memberlist": {
            **(
                dskit.gossip(peers, address, endpoints.LOKI_GOSSIP_PORT)
                if peers
                else {"bind_addr": [address], "bind_port": endpoints.LOKI_GOSSIP_PORT}
            ),
            "join_members": [f"{endpoints.pods(endpoints.LOKI)}:{endpoints.LOKI_GOSSIP_PORT}"],
            "abort_if_cluster_join_fails": False,
        },
        **({} if peers is None else _clients(peers)),
    }


def _clients(peers: PeerTls) -> dict[str, Any]:
    """Return the sections of all clients that Loki's parts have for each other."""
    client = dskit.client(peers)
    sections = ("ingester_client", "frontend", "frontend_worker", "query_scheduler")
    return {**{section: {"grpc_client_config": client} for section in sections}, "compactor_grpc_client": client}


def _object_store(storage: ObjectStorage | None) -> str:
    if storage is None:
        return "filesystem"
    return "s3" if storage.s3 else "gcs" if storage.gcs else "azure"


def _bucket(storage: ObjectStorage) -> dict[str, Any]:
    bucket: dict[str, Any]
    if s3 := storage.s3:
        bucket = {
            "bucket_name": s3.bucket,
            "endpoint": s3.endpoint,
            "insecure": s3.insecure,
            "bucket_lookup_type": "path" if s3.force_path_style else "auto",
            **({"region": s3.region} if s3.region else {}),
            **({"http": {"tls_ca_path": f"{CONFIG}/{CA_FILE}"}} if s3.ca else {}),
        }
    elif gcs := storage.gcs:
        bucket = {"bucket_name": gcs.bucket}
    else:
        assert storage.azure
        bucket = {
            "account_name": storage.azure.account,
            "container_name": storage.azure.container,
            "endpoint_suffix": storage.azure.endpoint,
            **({} if storage.identity is not None else {"account_key": f"${{{AZURE_KEY_VARIABLE}}}"}),
        }
    store = {
        _object_store(storage): bucket,
        "filesystem": {"dir": f"{DATA}/delete-requests"},
        **({"storage_prefix": storage.prefix} if storage.prefix else {}),
    }
    return {
        "storage_config": {"use_thanos_objstore": True, "object_store": store},
        # 0 is no limit: a late line is in the memory of the Lokis until its chunk is full or old.
        "querier": {"query_ingesters_within": "0s"},
    }


def _server(address: str) -> dict[str, Any]:
    return {
        "http_listen_port": endpoints.LOKI_PORT,
        "grpc_listen_address": address,
        "grpc_listen_port": endpoints.LOKI_GRPC_PORT,
        "grpc_server_max_recv_msg_size": _REQUEST_BYTES,
        "grpc_server_max_send_msg_size": _REQUEST_BYTES,
        "log_level": "warn",
    }


def _ingester(memory_mb: int, *, in_bucket: bool) -> dict[str, Any]:
    # Queries find a late line at once, not only after its chunk is written. -1 is no limit. Loki takes this for a
    # folder only; with a bucket `querier` has it.
    late_lines = {} if in_bucket else {"query_store_max_look_back_period": "-1ns"}
    return {
        # Acknowledged lines survive a kill of the process, not a power failure: Loki writes this log without fsync.
        "wal": {
            "enabled": True,
            "dir": f"{DATA}/wal",
            # Above this, a replay writes chunks to disk, so that a restart needs no more memory than normal operation.
            "replay_memory_ceiling": f"{memory_mb // 2}MB",
            # On a full disk, Loki would acknowledge lines that it only has in memory.
            "disk_full_threshold": 0.9,
        },
        # Loki refuses lines that are older than the newest of their stream by more than half of this. After an outage
        # the Collectors empty their queues at different speeds, and Loki must accept all of them.
        "max_chunk_age": "24h",
        **late_lines,
        "lifecycler": {"min_ready_duration": "0s"},
    }


def _limits(retention: str) -> dict[str, Any]:
    return {
        "retention_period": retention,
        # Requests to delete need no authentication.
        "deletion_mode": "disabled",
        # Queries find no line older than the retention, even if the compactor has not deleted it yet.
        "max_query_lookback": retention,
        "max_query_length": "0s",
        "reject_old_samples": True,
        "reject_old_samples_max_age": retention,
        "allow_structured_metadata": True,
        "otlp_config": {
            "resource_attributes": {
                # With the defaults, every pod and every restart would be a stream.
                "ignore_defaults": True,
                "attributes_config": [{"action": "index_label", "attributes": list(INDEXED)}],
            }
        },
        "max_label_names_per_series": len(INDEXED) + 1,
        "max_global_streams_per_user": 1000,
        # Loki truncates lines that are too long. Stack traces are metadata, and Loki drops metadata that is too long.
        "max_line_size": "256KB",
        "max_line_size_truncate": True,
        "max_structured_metadata_size": "256KB",
        # Above these rates Loki asks the Collectors to retry, and they keep the lines on disk.
        "ingestion_rate_mb": 16,
        "ingestion_burst_size_mb": _REQUEST_BYTES // 2**20,
        "per_stream_rate_limit": "16MB",
        "per_stream_rate_limit_burst": f"{_REQUEST_BYTES // 2**20}MB",
    }
