"""Configurations of the trace stores."""

from typing import Any, Final

from contracts import endpoints
from stack.components.encryption import dskit
from stack.components.encryption.peers import PeerTls
from stack.components.kafka.rights import INGEST_TOPIC
from stack.components.shared.object_storage import CA_FILE, ObjectStorage
from stack.components.trace_store.settings import Traces

TEMPO_DATA: Final = "/var/tempo"
"""Mount path of Tempo's volumes."""
TEMPO_CONFIG: Final = "/etc/tempo"
"""Folder of Tempo's configuration."""
JAEGER_DATA: Final = "/var/jaeger"
"""Mount path of Jaeger's volume, which holds Badger's files."""

ADDRESS_VARIABLE: Final = "POD_IP"
"""Variable with the address at which the other parts reach one that is behind the proxy."""
ANY_ADDRESS: Final = "0.0.0.0"
_LOOPBACK: Final = "127.0.0.1"
_LIVE_STORE_LAG: Final = "5s"
"""How far a live store of Tempo in parts may be behind Kafka and still answer queries."""


def _otlp_receiver(address: str) -> dict[str, Any]:
    grpc = {
        "endpoint": f"{address}:{endpoints.OTLP_GRPC_PORT}",  # the default is localhost
        # With the default of 4 MiB, the store would refuse a batch of long spans, however often it is sent.
        "max_recv_msg_size_mib": endpoints.OTLP_MAX_MIB,
    }
    return {"otlp": {"protocols": {"grpc": grpc}}}


def tempo_config(settings: Traces, retention: str, address: str = ANY_ADDRESS) -> dict[str, Any]:
    """Return the configuration of Tempo 3, which refuses `ingester`, `compactor` and flat overrides of Tempo 2.

    Args:
        settings: of the trace store.
        retention: of blocks.
        address: on which it listens for clients.
    """
    limited = {} if address == ANY_ADDRESS else {"http_listen_address": address}
    return {
        "server": {
            "http_listen_port": endpoints.TEMPO_HTTP_PORT,
            # Its parts use gRPC without authentication, so no other program may reach it.
            "grpc_listen_address": _LOOPBACK,
            "grpc_listen_port": endpoints.TEMPO_GRPC_PORT,
            **limited,
        },
        "usage_report": {"reporting_enabled": False},
        "distributor": {"receivers": _otlp_receiver(address)},
        # By default, a search leaves out the last 30 s, because spans may still be on their way through Kafka. A single
        # process has no Kafka.
        "query_frontend": {"query_end_cutoff": "0s"},
        # A search finds a span once the live store has written it to disk. With the defaults of 5 s each, that took
        # 10 s (median of 25 traces); with these, 1.8 s.
        "live_store": {"max_trace_idle": "1s", "flush_check_period": "1s"},
        # Tempo ignores the key of this name below backend_scheduler: the worker deletes blocks.
        "backend_worker": {"compaction": {"block_retention": retention}},
        "storage": {"trace": {"wal": {"path": f"{TEMPO_DATA}/wal"}, **_blocks(settings.object_storage)}},
    }


def _blocks(storage: ObjectStorage | None) -> dict[str, Any]:
    if storage is None:
        return {"backend": "local", "local": {"path": f"{TEMPO_DATA}/blocks"}}
    prefix = {"prefix": storage.prefix} if storage.prefix else {}
    if s3 := storage.s3:
        keys = {
            "bucket": s3.bucket,
            "endpoint": s3.endpoint,
            "region": s3.region,
            "forcepathstyle": s3.force_path_style,
            "tls_ca_path": f"{TEMPO_CONFIG}/{CA_FILE}" if s3.ca else None,
        }
        options = {key: value for key, value in keys.items() if value}
        return {"backend": "s3", "s3": {**options, **prefix, "insecure": s3.insecure}}
    if gcs := storage.gcs:
        return {"backend": "gcs", "gcs": {"bucket_name": gcs.bucket, **prefix}}
    assert storage.azure
    azure = {
        "storage_account_name": storage.azure.account,
        "container_name": storage.azure.container,
        "endpoint_suffix": storage.azure.endpoint,
        "use_federated_token": storage.identity is not None,
    }
    return {"backend": "azure", "azure": {**azure, **prefix}}


def distributed_config(
    settings: Traces,
    retention: str,
    bootstrap_servers: str,
    address: str = ANY_ADDRESS,
    peers: PeerTls | None = None,
) -> dict[str, Any]:
    """Return the configuration of Tempo in parts. All parts share it; each reads what it needs.

    The variables in it are for `-config.expand-env`.

    Args:
        settings: of the trace store.
        retention: of blocks.
        bootstrap_servers: of Kafka.
        address: on which the parts listen for clients.
        peers: how the parts know each other; anyone who reaches their ports is one of them if None.
    """
    grpc = endpoints.TEMPO_GRPC_PORT
    config = tempo_config(settings, retention, address)
    # No part writes to it, but every part that reads blocks opens it.
    config["storage"]["trace"]["wal"]["path"] = "/tmp/wal"
    # A live store that was killed cannot answer for the spans that it had read. They are visible again when a block
    # with them is found: after the block builder's cycle and this interval, whose default is five minutes.
    config["storage"]["trace"]["blocklist_poll"] = "1m"
    # A live store answers a search with an error while it is further behind Kafka than this (`fail_on_high_lag`), and
    # one that has just become ready may be so far behind. The cutoff delays no search: with the default intervals of
    # the live store, which suit a higher load, a span is found 5 to 10 s after it arrived.
    config["query_frontend"]["query_end_cutoff"] = _LIVE_STORE_LAG
    config["server"] |= {"grpc_listen_address": ANY_ADDRESS, **dskit.grpc_server(peers)}
    clients = {"grpc_client_config": client} if (client := dskit.client(peers)) else {}
    config["backend_worker"] |= {"backend_scheduler_addr": f"{endpoints.TEMPO_BACKEND_SCHEDULER}:{grpc}"}
    return config | {
        "stream_over_http_enabled": True,
        "memberlist": {
            **(
                dskit.gossip(peers, f"${{{ADDRESS_VARIABLE}}}", endpoints.TEMPO_GOSSIP_PORT)
                if peers
                else {"bind_port": endpoints.TEMPO_GOSSIP_PORT}
            ),
            "join_members": [f"{endpoints.pods(endpoints.TEMPO_LIVE_STORE)}:{endpoints.TEMPO_GOSSIP_PORT}"],
            "abort_if_cluster_join_fails": False,
        },
        "ingest": {
            "kafka": {
                "address": bootstrap_servers,
                "topic": INGEST_TOPIC,
                # An init container creates the topic with the limits of the stack.
                "auto_create_topic_enabled": False,
            }
        },
        "live_store": {
            "wal": {"path": f"{TEMPO_DATA}/live-store/traces"},
            "shutdown_marker_dir": f"{TEMPO_DATA}/live-store/shutdown-marker",
            # A live store is ready when it has caught up, so no trace is missing during a rolling restart.
            "readiness_target_lag": _LIVE_STORE_LAG,
            "readiness_max_wait": "5m",
        },
        "block_builder": {
            "wal": {"path": f"{TEMPO_DATA}/block-builder/traces"},
            "partitions_per_instance": 1,
            "consume_cycle_duration": "1m",
        },
        "backend_scheduler": {"local_work_path": f"{TEMPO_DATA}/scheduler"},
        "querier": {"frontend_worker": {"frontend_address": f"{endpoints.pods(endpoints.TEMPO)}:{grpc}", **clients}},
        **({"live_store_client": clients, "backend_scheduler_client": clients} if clients else {}),
    }


def jaeger_config(retention: str, address: str = ANY_ADDRESS) -> dict[str, Any]:
    """Return the configuration of Jaeger 2, which has the form of a Collector's."""
    return {
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"{ANY_ADDRESS}:{endpoints.JAEGER_HEALTH_PORT}"}},
            "jaeger_storage": {"backends": {"badger": {"badger": _badger(retention)}}},
            "jaeger_query": {
                "storage": {"traces": "badger"},
                # Otherwise Jaeger traces itself, and appears among the services.
                "enable_tracing": False,
                "http": {"endpoint": f"{address}:{endpoints.JAEGER_QUERY_PORT}"},
                # No client uses gRPC.
                "grpc": {"endpoint": f"localhost:{endpoints.JAEGER_QUERY_GRPC_PORT}"},
            },
        },
        "receivers": _otlp_receiver(address),
        # No queue and no batch processor: both acknowledge spans that they only have in memory.
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "badger", "queue": {"enabled": False}}},
        "service": {
            "extensions": ["healthcheckv2", "jaeger_storage", "jaeger_query"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"readers": [{"pull": {"exporter": {"prometheus": _jaeger_metrics(address)}}}]}},
        },
    }


def _badger(retention: str) -> dict[str, Any]:
    return {
        "directories": {"keys": f"{JAEGER_DATA}/keys", "values": f"{JAEGER_DATA}/values"},
        "ephemeral": False,
        # With the default, Badger acknowledges spans that it only has in memory.
        "consistency": True,
        "ttl": {"spans": retention},
    }


def _jaeger_metrics(address: str) -> dict[str, Any]:
    return {"host": address, "port": endpoints.JAEGER_TELEMETRY_PORT}
