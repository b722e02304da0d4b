"""Reads the state of the cluster before and while a rollout moves pods."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import kubernetes

from contracts import endpoints
from contracts.metadata import Track
from contracts.services import SERVICES
from stack.components.services.settings import Split
from stack.kubernetes.autoscaling import autoscalers
from stack.rollout.errors import RolloutError


@dataclass(frozen=True, kw_only=True)
class LiveCluster:
    """The cluster of a stack; see `stack.rollout.runner.Cluster`."""

    client: kubernetes.client.ApiClient
    namespace: str

    def pods(self) -> Mapping[str, Split]:
        """Returns the declared pods of each deployed service, by track."""
        deployments = kubernetes.client.AppsV1Api(self.client).list_namespaced_deployment(
            self.namespace, _request_timeout=30
        )
        replicas = {item.metadata.name: item.spec.replicas or 0 for item in deployments.items}
        splits: dict[str, Split] = {}
        for name in SERVICES:
            stable, baseline, canary = (replicas.get(endpoints.track(name, track), 0) for track in get_args(Track))
            if stable + baseline + canary:
                splits[name] = Split(stable=stable, baseline=baseline, canary=canary)
        return splits

    def is_reachable(self) -> bool:
        """Returns whether the API server answers."""
        try:
            kubernetes.client.VersionApi(self.client).get_code(_request_timeout=5)
        except Exception:  # any error: the API server does not answer
            return False
        return True


def refuse_autoscaled(client: kubernetes.client.ApiClient, namespace: str) -> None:
    """Checks that no autoscaler sets the number of pods of a service.

    Raises:
        RolloutError: an autoscaler does. It would change the share of the traffic that the new version gets.
    """
    for target, autoscaler in autoscalers(client, namespace, ()).items():
        if target.name in SERVICES:
            raise RolloutError(
                f"horizontalpodautoscaler/{autoscaler.name} sets the number of pods of {target.name}, which a rollout "
                f"splits between two versions. Delete it (`kubectl -n {namespace} delete hpa {autoscaler.name}`), and "
                "create it again after the rollout"
            )
