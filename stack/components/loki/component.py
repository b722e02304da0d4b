"""Loki, the log store, as one process with chunks, index and write-ahead log on its own volume."""

from dataclasses import dataclass
from typing import Final

import pulumi
import yaml

from collector.pipeline import OtlpTarget
from contracts import endpoints, versions
from stack.components.loki.config import DATA, loki_config
from stack.components.loki.settings import CREDENTIALS, Logs
from stack.components.shared.availability import Shutdown
from stack.components.shared.environment import go_memory_limit
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe, tcp_probe
from stack.components.shared.service import services
from stack.components.shared.storage import Storage
from stack.components.shared.store import StoreAddresses, external_addresses
from stack.components.shared.workload import Volume, stateful_set

_UID: Final = 10001
_CONFIG: Final = "/etc/loki"


@dataclass(frozen=True, kw_only=True)
class LokiArgs:
    namespace: pulumi.Input[str]
    settings: Logs
    retention: str
    storage_class: str | None


def log_store(args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> StoreAddresses:
    """Return the addresses of the log store; create it, unless it is an external one."""
    if external := args.settings.external:
        return external_addresses(external, CREDENTIALS)
    loki = Loki("loki", args, opts)
    otlp = loki.otlp_url.apply(lambda url: OtlpTarget(url, "http"))
    return StoreAddresses(otlp=otlp, query_url=loki.query_url)


class Loki(pulumi.ComponentResource):
    """Loki as one process."""

    otlp_url: pulumi.Output[str]
    """URL that accepts OTLP logs over HTTP, without `/v1/logs`."""
    query_url: pulumi.Output[str]
    """Base URL of its query API, for Grafana's datasource."""

    def __init__(self, name: str, args: LokiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Loki", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        files = {"loki.yaml": yaml.safe_dump(loki_config(args.settings, args.retention), sort_keys=False)}
        config = config_map("loki-config", "log-store", args.namespace, files, child)
        pod = Pod(
            name=endpoints.LOKI,
            component="log-store",
            user=_UID,
            container=Container(
                image=versions.LOKI,
                size=args.settings,
                ports={"http": endpoints.LOKI_PORT},
                args=[f"-config.file={_CONFIG}/loki.yaml"],
                env=go_memory_limit(args.settings),
            ),
            storage=Storage(config_maps={_CONFIG: config.metadata.name}, configuration=files, data=DATA),
            probes=Probes(
                readiness=http_probe(endpoints.LOKI_READY, endpoints.LOKI_PORT, period=2),
                # Not /ready: a Loki that replays its log is alive.
                liveness=tcp_probe(endpoints.LOKI_PORT),
            ),
            shutdown=Shutdown(grace_seconds=60),
        )
        services(pod, args.namespace, child)
        stateful_set(pod, args.namespace, Volume(size=args.settings.volume, storage_class=args.storage_class), child)
        self.query_url = pulumi.Output.from_input(endpoints.url(endpoints.LOKI, endpoints.LOKI_PORT))
        self.otlp_url = self.query_url.apply(lambda url: f"{url}/otlp")
        self.register_outputs({"otlp_url": self.otlp_url, "query_url": self.query_url})
