"""Prometheus' configuration: what it scrapes, and where it sends alerts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from contracts import endpoints, secret_keys
from contracts.metadata import AUTHORITY_FILE, TEMPORARY_TRACKS
from contracts.metrics import WORKLOAD
from dashboards.rules import YourPrometheus
from stack.components.alertmanager.settings import ExternalAlertmanager
from stack.components.prometheus.settings import ExternalMetrics, RemoteWrite
from stack.components.shared.scrape import ScrapeTarget

SECRETS: Final = "/etc/prometheus-secrets"
"""Folder of the credentials, a file each."""
AUTHORITY_FOLDER: Final = "/etc/prometheus-authority"
"""Folder of the certificate of the authority of what Prometheus scrapes."""
CONFIG: Final = "/etc/prometheus"
"""Folder of the configuration."""

POD_NAME: Final = "POD_NAME"
"""Variable with the name of Prometheus' pod."""
REPLICA: Final = "replica"
"""External label with the name of the Prometheus pod that a sample comes from, if there are several."""

# The name under which Prometheus finds a pod contains its track; baseline and canary exist only during a rollout.
_TRACK_LABEL: Final = [
    {"target_label": "track", "replacement": "stable"},
    *(
        {
            "source_labels": ["__meta_dns_name"],
            "regex": rf"[^.]+{re.escape(endpoints.pods(endpoints.track('', track)))}\..*",
            "target_label": "track",
            "replacement": track,
        }
        for track in TEMPORARY_TRACKS
    ),
]
_WORKLOAD_LABEL: Final = [
    {
        "source_labels": ["__meta_dns_name"],
        "regex": rf"([^.]+){re.escape(endpoints.pods(''))}\..*",
        "target_label": WORKLOAD,
    }
]


@dataclass(frozen=True, kw_only=True)
class Scraping:
    """The targets that Prometheus scrapes in a stack, and the interval."""

    environment: str
    namespace: str
    """Namespace of the pods."""
    interval_seconds: int
    targets: Sequence[ScrapeTarget]
    alertmanager: ScrapeTarget | None
    """Where alerts are sent, if the stack has an Alertmanager."""
    external_alertmanager: ExternalAlertmanager | None = None
    """Where alerts are sent, if the stack did not build the Alertmanager."""
    encrypted: bool = False
    """Whether the stack's telemetry is encrypted, Prometheus itself included."""
    replicas: int = 1
    """Number of Prometheus pods with this configuration."""

    @property
    def needs_authority(self) -> bool:
        """Whether Prometheus has to know the stack's authority."""
        return any(target.encrypted for target in self.targets)

    @property
    def yours(self) -> YourPrometheus:
        """What the rules tell a Prometheus that the stack did not build."""
        return YourPrometheus(environment=self.environment, interval_seconds=self.interval_seconds)


def prometheus_config(scraping: Scraping) -> dict[str, Any]:
    """Return Prometheus' configuration.

    Prometheus finds the pods by the A records of headless Services: every pod is a target of its own, a missing one is
    noticed, and Prometheus needs no access to the API server.
    """
    interval = f"{scraping.interval_seconds}s"
    receivers = list(_alertmanagers(scraping))
    return {
        "global": {
            "scrape_interval": interval,
            "evaluation_interval": interval,
            "scrape_timeout": f"{min(scraping.interval_seconds, 10)}s",
            # Otherwise the Collectors' labels have dots, such as `error.permanent`, and no rule matches them.
            "metric_name_escaping_scheme": "underscores",
            "external_labels": _external_labels(scraping),
        },
        "rule_files": [f"{CONFIG}/rules.yml"],
        **({"alerting": {**_without_replica(scraping), "alertmanagers": receivers}} if receivers else {}),
        # Samples that waited in a Collector's queue arrive late.
        "storage": {"tsdb": {"out_of_order_time_window": "1h"}},
        "scrape_configs": [*(_job(target, scraping) for target in scraping.targets), _own_job(scraping)],
    }


def agent_config(scraping: Scraping, external: ExternalMetrics, remote_write: RemoteWrite) -> dict[str, Any]:
    """Return the configuration of a Prometheus in agent mode, which stores nothing and evaluates no rules."""
    complete = prometheus_config(scraping)
    file = f"{SECRETS}/{secret_keys.METRICS_WRITE_TOKEN}"
    access = (
        {"basic_auth": {"username": remote_write.username, "password_file": file}}
        if remote_write.username
        else {"authorization": {"credentials_file": file}}
    )
    target = {
        "url": remote_write.url,
        "send_exemplars": True,
        **({"headers": external.headers} if external.headers else {}),
        **({"tls_config": {"ca": external.ca}} if external.ca else {}),
        **(access if remote_write.authorize else {}),
    }
    return {
        "global": complete["global"],
        "scrape_configs": complete["scrape_configs"],
        "remote_write": [target],
    }


def _external_labels(scraping: Scraping) -> dict[str, str]:
    # Prometheus replaces the variable when it reads the file.
    replica = {REPLICA: f"${{{POD_NAME}}}"} if scraping.replicas > 1 else {}
    return {"environment": scraping.environment, **replica}


def _without_replica(scraping: Scraping) -> dict[str, Any]:
    # Two alerts are the same alert for Alertmanager if all their labels are the same.
    return {"alert_relabel_configs": [{"action": "labeldrop", "regex": REPLICA}]} if scraping.replicas > 1 else {}


def _alertmanagers(scraping: Scraping) -> Iterator[dict[str, Any]]:
    if scraping.alertmanager:
        target = scraping.alertmanager
        yield {**_access(target), "dns_sd_configs": [_discovery(target, scraping)]}
    if external := scraping.external_alertmanager:
        for url in map(urlsplit, external.urls):
            yield {
                "scheme": url.scheme,
                "static_configs": [{"targets": [url.netloc]}],
                **({"path_prefix": url.path} if url.path else {}),
                **({"tls_config": {"ca": external.ca}} if external.ca else {}),
            }


def _own_job(scraping: Scraping) -> dict[str, Any]:
    """Return the job of Prometheus' own metrics; of several pods, each scrapes all."""
    own = ScrapeTarget(
        job=endpoints.PROMETHEUS,
        pods=(endpoints.PROMETHEUS,),
        port=endpoints.PROMETHEUS_PORT,
        encrypted=scraping.encrypted,
        needs_token=scraping.encrypted,
    )
    if scraping.replicas > 1:
        return _job(own, scraping)
    targets = [f"localhost:{endpoints.PROMETHEUS_PORT}"]
    return {"job_name": own.job, "sample_limit": own.samples, "static_configs": [{"targets": targets}]}


def _job(target: ScrapeTarget, scraping: Scraping) -> dict[str, Any]:
    return {
        "job_name": target.job,
        "metrics_path": target.path,
        "sample_limit": target.samples,
        "honor_labels": target.honor_labels,
        **_access(target),
        "dns_sd_configs": [_discovery(target, scraping)],
        **({"relabel_configs": _TRACK_LABEL} if target.has_tracks else {}),
        **({"relabel_configs": _WORKLOAD_LABEL} if target.has_workloads else {}),
    }


def _access(target: ScrapeTarget) -> dict[str, Any]:
    """Return what Prometheus sends and trusts; it reads both files again for each connection."""
    if not target.encrypted:
        return {}
    token = {"credentials_file": f"{SECRETS}/{secret_keys.TELEMETRY_TOKEN}"}
    return {
        "scheme": "https",
        **({"authorization": token} if target.needs_token else {}),
        "tls_config": {"ca_file": f"{AUTHORITY_FOLDER}/{AUTHORITY_FILE}", "server_name": endpoints.SCRAPED},
    }


def _discovery(target: ScrapeTarget, scraping: Scraping) -> dict[str, Any]:
    # With the trailing dot, the resolver asks once instead of once for every search domain.
    names = [f"{endpoints.pods(name)}.{scraping.namespace}.svc.cluster.local." for name in target.pods]
    return {"names": names, "type": "A", "port": target.port, "refresh_interval": f"{scraping.interval_seconds}s"}
