"""Pods that PodSecurity `restricted` admits: one main container, its files, its probes, its shutdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from contracts.metadata import CHECKSUM, TRACK, Track, labels, selector
from stack.components.shared import availability
from stack.components.shared.availability import Shutdown
from stack.components.shared.object_meta import checksum
from stack.components.shared.probes import Probes
from stack.components.shared.settings import Size
from stack.components.shared.storage import Storage

core = k8s.core.v1


@dataclass(frozen=True, kw_only=True)
class Container:
    """The main container of a pod."""

    image: str
    size: Size
    ports: Mapping[str, int]
    """Name → number."""
    command: Sequence[str] | None = None
    args: Sequence[str] | None = None
    env: Sequence[core.EnvVarArgs] = ()


@dataclass(frozen=True, kw_only=True)
class Pod:
    """The pods of one workload."""

    name: str
    """Name of the Service, and of the workload unless the pods are a baseline or a canary."""
    component: str
    """Value of the label `app.kubernetes.io/component`."""
    user: int
    """User and group that the containers run as."""
    container: Container
    probes: Probes
    storage: Storage = field(default_factory=Storage)
    shutdown: Shutdown = field(default_factory=Shutdown)
    init: Sequence[core.ContainerArgs] = ()
    volumes: Sequence[core.VolumeArgs] = ()
    """Further volumes, which containers of `init` mount."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the ServiceAccount with which a cloud grants rights to the pods."""
    identity_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels without which a cloud gives the pods no identity."""
    share_processes: bool = False
    """Whether the containers see, and may signal, each other's processes."""
    track: Track | None = None
    """For services that can be rolled out step by step."""

    @property
    def workload(self) -> str:
        """Name of the Deployment or StatefulSet."""
        return endpoints.track(self.name, self.track) if self.track else self.name

    @property
    def own_selector(self) -> dict[str, str]:
        """Labels that these pods have, and those of the other tracks do not."""
        return {**selector(self.name), **({TRACK: self.track} if self.track else {})}


def container_security() -> core.SecurityContextArgs:
    """Return what PodSecurity `restricted` requires of a container, with a read-only root file system."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def resources(size: Size) -> core.ResourceRequirementsArgs:
    """Return requests and limits: the memory limit is the memory request, and CPU has no limit."""
    return core.ResourceRequirementsArgs(
        requests={"cpu": size.cpu, "memory": size.memory}, limits={"memory": size.memory}
    )


def template(
    pod: Pod,
    service_account: pulumi.Input[str],
    *,
    alone: bool,
    tolerations: Sequence[core.TolerationArgs] = (),
) -> core.PodTemplateSpecArgs:
    """Return the pod template of a Deployment or StatefulSet.

    Args:
        pod: the description of the pod.
        service_account: the name of the pod's service account.
        alone: whether the workload never has a second pod. Then no pod can take over, and draining is useless.
        tolerations: of taints that nodes get while the pod runs.
    """
    drain_seconds = 0 if alone else availability.DRAIN_SECONDS
    return core.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels={**labels(pod.name, pod.component), **pod.own_selector, **pod.identity_labels},
            annotations={CHECKSUM: checksum(pod.storage.configuration)},
        ),
        spec=core.PodSpecArgs(
            containers=[_main_container(pod, drain_seconds)],
            init_containers=list(pod.init) or None,
            volumes=[*pod.storage.volumes(), *pod.volumes],
            tolerations=list(tolerations) or None,
            share_process_namespace=pod.share_processes or None,
            topology_spread_constraints=availability.spread(pod.name),
            service_account_name=service_account,
            # No pod calls the API server, so none needs a token for it.
            automount_service_account_token=False,
            # Variables such as KAFKA_PORT=tcp://… for every Service collide with the programs' own.
            enable_service_links=False,
            termination_grace_period_seconds=pod.shutdown.grace_seconds + drain_seconds,
            security_context=_pod_security(pod),
        ),
    )


def _main_container(pod: Pod, drain_seconds: int) -> core.ContainerArgs:
    container = pod.container
    return core.ContainerArgs(
        name=pod.name,
        image=container.image,
        image_pull_policy="IfNotPresent",
        command=list(container.command) if container.command else None,
        args=list(container.args) if container.args else None,
        env=list(container.env) or None,
        ports=[core.ContainerPortArgs(name=name, container_port=port) for name, port in container.ports.items()],
        resources=resources(container.size),
        security_context=container_security(),
        volume_mounts=pod.storage.mounts(),
        readiness_probe=pod.probes.readiness,
        liveness_probe=pod.probes.liveness,
        startup_probe=pod.probes.startup,
        lifecycle=pod.shutdown.lifecycle(drain_seconds),
        # If the container exits without a termination message, Kubernetes uses the tail of its log.
        termination_message_policy="FallbackToLogsOnError",
    )


def _pod_security(pod: Pod) -> core.PodSecurityContextArgs:
    has_volume = pod.storage.data is not None
    # The files of a Secret belong to root, and this group may read them.
    has_group = has_volume or bool(pod.storage.secrets or pod.volumes)
    return core.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=pod.user,
        run_as_group=pod.user,
        fs_group=pod.user if has_group else None,
        fs_group_change_policy="OnRootMismatch" if has_volume else None,
        seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
    )
