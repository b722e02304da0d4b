"""Which pods of a service run: the stable ones, and during a rollout those of two versions that are compared."""

from dataclasses import dataclass, replace

from contracts.metadata import Track
from stack.components.services.settings import Release, Services
from stack.components.services.tracing import Tracing


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a service, and its pods of one track."""

    track: Track
    image: str
    tracing: Tracing
    replicas: int


def running_versions(
    service: str, services: Services, image: str, tracing: Tracing, release: Release | None
) -> tuple[Version, ...]:
    """Return the versions of a service that run: the one in the settings, and during a rollout the stable one as well.

    Args:
        service: name of the service.
        services: their sizes.
        image: in the settings.
        tracing: in the settings.
        release: state of the rollout, if one is in progress.
    """
    if release is None:
        replicas = services.sizes[service].replicas
        return (Version(track="stable", image=image, tracing=tracing, replicas=replicas),)
    split = release.splits[service]
    versions = [Version(track="stable", image=release.image, tracing=release.tracing, replicas=split.stable)]
    if split.baseline:
        versions.append(replace(versions[0], track="baseline", replicas=split.baseline))
    if split.canary:
        if release.sampling_rate is not None:
            tracing = tracing.model_copy(update={"sampling_rate": release.sampling_rate})
        versions.append(Version(track="canary", image=image, tracing=tracing, replicas=split.canary))
    return tuple(versions)
