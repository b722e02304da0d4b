"""The targets that Prometheus scrapes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScrapeTarget:
    """Pods that serve the same metrics."""

    job: str
    pods: tuple[str, ...]
    """Names of the workloads whose pods are scraped."""
    port: int
    path: str = "/metrics"
    samples: int = 5_000
    """Most samples in one scrape of one pod. Prometheus refuses a scrape with more, and the pod counts as down. Without
    the limit, a pod whose series grow without end would fill Prometheus' memory, and all metrics would be lost."""
    has_tracks: bool = False
    """Whether two versions can run next to each other; the label `track` then holds the version of a pod."""
    encrypted: bool = False
    """Whether the port has TLS, with a certificate of the stack's own authority."""
    needs_token: bool = False
    """Whether it needs the token of the stack's telemetry."""
    honor_labels: bool = False
    """Whether the metrics have `job` and `instance` labels of their own, which Prometheus must keep."""

    @property
    def has_workloads(self) -> bool:
        """Whether the pods belong to several workloads; the label `workload` then names that of a pod."""
        return len(self.pods) > 1 and not self.has_tracks
