"""Which versions of a service run: one, or two during a rollout."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from contracts.metadata import Track
from contracts.services import CRAWLER, GATEWAY, TASK_MANAGER
from stack.components.services.settings import Release, Services, Split
from stack.components.services.tracing import Tracing
from stack.components.shared.settings import Workload

Service = Literal["gateway", "task_manager", "crawler"]
NAMES: Final[Mapping[Service, str]] = {
    "gateway": GATEWAY,
    "task_manager": TASK_MANAGER,
    "crawler": CRAWLER,
}
"""Name of each service in the cluster, by its field in the settings."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a service."""

    track: Track
    image: str
    tracing: Tracing
    replicas: int


def size_of(service: Service, services: Services) -> Workload:
    """Return the size of a service."""
    sizes: Mapping[Service, Workload] = {
        "gateway": services.gateway,
        "task_manager": services.task_manager,
        "crawler": services.crawler,
    }
    return sizes[service]


def running_versions(
    service: Service, services: Services, image: str, tracing: Tracing, release: Release | None
) -> tuple[Version, ...]:
    """Return the versions of a service that run: the one in the settings, and during a rollout the stable one as well.

    Args:
        service: which one.
        services: their sizes.
        image: in the settings.
        tracing: in the settings.
        release: state of the rollout, if one is in progress.
    """
    if release is None:
        replicas = size_of(service, services).replicas
        return (Version(track="baseline", image=image, tracing=tracing, replicas=replicas),)
    splits: Mapping[Service, Split] = {
        "gateway": release.gateway,
        "task_manager": release.task_manager,
        "crawler": release.crawler,
    }
    split = splits[service]
    stable = Version(track="baseline", image=release.image, tracing=release.tracing, replicas=split.baseline)
    if not split.canary:
        return (stable,)
    if release.sampling_rate is not None:
        tracing = tracing.model_copy(update={"sampling_rate": release.sampling_rate})
    return (stable, Version(track="canary", image=image, tracing=tracing, replicas=split.canary))
