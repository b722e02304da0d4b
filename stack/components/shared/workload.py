"""What every workload has in common: a pod that passes PodSecurity `restricted`, probes, resources, a Service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints
from contracts.metadata import CHECKSUM, TRACK, labels, selector
from contracts.section import quantity_bytes
from stack.components.shared import availability, service_account
from stack.components.shared.object_meta import checksum, object_meta
from stack.components.shared.settings import Size

core = k8s.core.v1


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of one main container.

    `files` maps mount paths to ConfigMaps, `configuration` is what these hold: the pods roll when it changes.
    `secret_files` maps mount paths to a Secret and those of its keys that become files there; these follow a change.
    `scratch` are paths to write to that need not outlive the pod; the root file system is read-only.
    `track` is which of two versions that share a Service these pods are, for services that can be rolled out gradually.
    `identity` are annotations of the ServiceAccount that make a cloud know the pod.
    `stop` is a command that stops the program where SIGTERM alone does not.
    """

    name: str
    component: str
    image: str
    user: int
    size: Size
    ports: Mapping[str, int]
    command: Sequence[str] | None = None
    args: Sequence[str] | None = None
    env: Sequence[core.EnvVarArgs] = ()
    files: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    configuration: pulumi.Input[Any] = None
    secret_files: Mapping[str, tuple[pulumi.Input[str], Mapping[str, str]]] = field(default_factory=dict)
    scratch: Sequence[str] = ("/tmp",)
    data: str | None = None
    init: Sequence[core.ContainerArgs] = ()
    readiness: core.ProbeArgs
    liveness: core.ProbeArgs
    startup_seconds: int = 120
    identity: Mapping[str, str] = field(default_factory=dict)
    stop: Sequence[str] | None = None
    grace_seconds: int = 30
    track: Literal["baseline", "canary"] | None = None

    @property
    def workload(self) -> str:
        """Name of what runs these pods."""
        return endpoints.canary(self.name) if self.track == "canary" else self.name

    @property
    def own_selector(self) -> dict[str, str]:
        """Labels of these pods that the other version's do not have."""
        return {**selector(self.name), **({TRACK: self.track} if self.track else {})}


def env(**variables: str | int | float | bool) -> list[core.EnvVarArgs]:
    """Environment variables with plain values; booleans as true/false."""
    return [
        core.EnvVarArgs(name=name, value=str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in variables.items()
    ]


def field_ref(variable: str, path: str) -> core.EnvVarArgs:
    """Environment variable from the downward API."""
    return core.EnvVarArgs(
        name=variable, value_from=core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))
    )


def http_probe(path: str, port: int, *, period: int = 10, failures: int = 3) -> core.ProbeArgs:
    """HTTP probe."""
    action = core.HTTPGetActionArgs(path=path, port=port)
    return core.ProbeArgs(http_get=action, period_seconds=period, timeout_seconds=3, failure_threshold=failures)


def tcp_probe(port: int, *, period: int = 10, failures: int = 3) -> core.ProbeArgs:
    """Probe that only connects."""
    action = core.TCPSocketActionArgs(port=port)
    return core.ProbeArgs(tcp_socket=action, period_seconds=period, timeout_seconds=3, failure_threshold=failures)


def exec_probe(command: Sequence[str], *, period: int = 10, failures: int = 3) -> core.ProbeArgs:
    """Probe that runs a command in the container."""
    action = core.ExecActionArgs(command=list(command))
    return core.ProbeArgs(exec_=action, period_seconds=period, timeout_seconds=5, failure_threshold=failures)


def container_security() -> core.SecurityContextArgs:
    """What PodSecurity `restricted` asks of a container, and a read-only root file system."""
    return core.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=core.CapabilitiesArgs(drop=["ALL"]),
    )


def resources(size: Size) -> core.ResourceRequirementsArgs:
    """Requests and limits; memory is limited at what is requested, CPU is not limited."""
    return core.ResourceRequirementsArgs(
        requests={"cpu": size.cpu, "memory": size.memory}, limits={"memory": size.memory}
    )


def go_env(size: Size) -> list[core.EnvVarArgs]:
    """For a program in Go: its garbage collector works harder before the memory limit would kill it."""
    return env(GOMEMLIMIT=f"{quantity_bytes(size.memory) * 8 // 10 // 2**20}MiB")


def mounts(pod: Pod) -> list[core.VolumeMountArgs]:
    """Mounts of a pod's main container; init containers take the same."""
    paths = [
        *((path, volume_name(path), True) for path in (*pod.files, *pod.secret_files)),
        *((path, volume_name(path), False) for path in pod.scratch),
        *([(pod.data, "data", False)] if pod.data else []),
    ]
    return [
        core.VolumeMountArgs(name=volume, mount_path=path, read_only=read_only or None)
        for path, volume, read_only in paths
    ]


def volume_name(path: str) -> str:
    """Name of the volume that is mounted at a path."""
    return path.strip("/").replace("/", "-").replace(".", "-").lower()


def template(pod: Pod, service_account: pulumi.Input[str], *, alone: bool) -> core.PodTemplateSpecArgs:
    """The pod template of a Deployment or StatefulSet.

    Args:
        pod: what runs.
        service_account: name of the pod's own.
        alone: there is never another pod of this name that would take over, so there is nothing to wait for at its end.
    """
    drain_seconds = 0 if alone else availability.DRAIN_SECONDS
    files = [
        core.VolumeArgs(name=volume_name(path), config_map=core.ConfigMapVolumeSourceArgs(name=config_map))
        for path, config_map in pod.files.items()
    ]
    secret_files = [
        core.VolumeArgs(
            name=volume_name(path),
            secret=core.SecretVolumeSourceArgs(
                secret_name=secret,
                default_mode=0o440,
                items=[core.KeyToPathArgs(key=key, path=name) for key, name in keys.items()],
            ),
        )
        for path, (secret, keys) in pod.secret_files.items()
    ]
    scratch = [
        core.VolumeArgs(name=volume_name(path), empty_dir=core.EmptyDirVolumeSourceArgs(size_limit="256Mi"))
        for path in pod.scratch
    ]
    container = core.ContainerArgs(
        name=pod.name,
        image=pod.image,
        image_pull_policy="IfNotPresent",
        command=list(pod.command) if pod.command else None,
        args=list(pod.args) if pod.args else None,
        env=list(pod.env) or None,
        ports=[core.ContainerPortArgs(name=name, container_port=port) for name, port in pod.ports.items()],
        resources=resources(pod.size),
        security_context=container_security(),
        volume_mounts=mounts(pod),
        readiness_probe=pod.readiness,
        liveness_probe=pod.liveness,
        startup_probe=_startup(pod),
        lifecycle=availability.before_end(pod.stop, drain_seconds),
        # Whoever died without a word says so in the pod's status.
        termination_message_policy="FallbackToLogsOnError",
    )
    return core.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels={**labels(pod.name, pod.component), **pod.own_selector},
            annotations={CHECKSUM: checksum(pod.configuration)},
        ),
        spec=core.PodSpecArgs(
            containers=[container],
            init_containers=list(pod.init) or None,
            volumes=[*files, *secret_files, *scratch] or None,
            topology_spread_constraints=availability.spread(pod.name),
            service_account_name=service_account,
            # No pod talks to the API server, so none holds a token for it.
            automount_service_account_token=False,
            # Variables such as KAFKA_PORT=tcp://… for every Service collide with the programs' own.
            enable_service_links=False,
            termination_grace_period_seconds=pod.grace_seconds + drain_seconds,
            security_context=core.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=pod.user,
                run_as_group=pod.user,
                fs_group=pod.user if pod.data else None,
                fs_group_change_policy="OnRootMismatch" if pod.data else None,
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
            ),
        ),
    )


def _startup(pod: Pod) -> core.ProbeArgs:
    """The liveness check, patient and often: a slow start is no reason for a restart, a dependency's even less."""
    probe = pod.liveness
    return core.ProbeArgs(
        http_get=probe.http_get,
        tcp_socket=probe.tcp_socket,
        exec_=probe.exec_,
        period_seconds=1,
        timeout_seconds=probe.timeout_seconds,
        failure_threshold=pod.startup_seconds,
    )


def deployment(
    pod: Pod, namespace: pulumi.Input[str], replicas: int, opts: pulumi.ResourceOptions, together: int | None = None
) -> k8s.apps.v1.Deployment:
    """A Deployment that never has fewer ready pods than asked for while it rolls; its ServiceAccount and budget.

    The baseline's selector says nothing of the track: it cannot be changed, and is that of releases before there were
    tracks. The canary's pods are not its own all the same: a ReplicaSet knows its Deployment by reference.

    Args:
        pod: what runs.
        namespace: the stack's.
        replicas: of this Deployment.
        opts: of the resources.
        together: pods of both tracks, which share a budget; as many as `replicas` if there is no other track.
    """
    pod_selector = pod.own_selector if pod.track == "canary" else selector(pod.name)
    if pod.track != "canary" and (together or replicas) > 1:
        availability.disruption_budget(pod.name, pod.component, namespace, opts)
    return k8s.apps.v1.Deployment(
        pod.workload,
        metadata=object_meta(pod.workload, namespace, component=pod.component),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=replicas,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=pod_selector),
            strategy=k8s.apps.v1.DeploymentStrategyArgs(
                type="RollingUpdate",
                rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
            ),
            revision_history_limit=3,
            # Never alone: while it rolls, the new pod is there before the old one ends.
            template=template(pod, _account(pod, namespace, opts), alone=False),
        ),
        opts=opts,
    )


def stateful_set(
    pod: Pod,
    namespace: pulumi.Input[str],
    volume: str,
    storage_class: str | None,
    opts: pulumi.ResourceOptions,
    replicas: int = 1,
    *,
    autoscaled: bool = False,
) -> k8s.apps.v1.StatefulSet:
    """A StatefulSet whose pods each own a volume, mounted at `pod.data`, with its ServiceAccount and budget.

    With `autoscaled`, `replicas` is what a new one begins with. An autoscaler decides from then on.
    """
    alone = replicas == 1 and not autoscaled
    # Left out, the field would lose its owner, and the API server would put its default there: one pod.
    left_to_others = pulumi.ResourceOptions(ignore_changes=["spec.replicas"] if autoscaled else None)
    if not alone:
        availability.disruption_budget(pod.name, pod.component, namespace, opts)
    claim = core.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(name="data", labels=labels(pod.name, pod.component)),
        spec=core.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=core.VolumeResourceRequirementsArgs(requests={"storage": volume}),
        ),
    )
    template_ = template(pod, _account(pod, namespace, opts), alone=alone)
    # `data` is the claim's volume; the StatefulSet controller adds it to the pod.
    return k8s.apps.v1.StatefulSet(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component),
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            replicas=replicas,
            service_name=endpoints.pods(pod.name),
            # One after the other would make every start as slow as the sum of all.
            pod_management_policy="Parallel",
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(pod.name)),
            revision_history_limit=3,
            template=template_,
            volume_claim_templates=[claim],
            # Said, since it is what everything relies on: whatever becomes of the StatefulSet, its data stays.
            persistent_volume_claim_retention_policy=k8s.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                when_deleted="Retain", when_scaled="Retain"
            ),
        ),
        opts=pulumi.ResourceOptions.merge(opts, left_to_others),
    )


def _account(pod: Pod, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Name of the pod's own ServiceAccount, which is there before the pod."""
    if pod.track == "canary":  # with the rights of the version that it is to replace
        return pulumi.Output.from_input(pod.name)
    made = service_account.service_account(pod.name, pod.component, namespace, pod.identity, opts)
    return made.metadata.name


def services(pod: Pod, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> tuple[core.Service, core.Service]:
    """The Service that callers use, and the headless one through which each pod is reached (metrics, stable names).

    Callers reach the pods of both tracks.
    """
    front = core.Service(
        pod.name,
        metadata=object_meta(pod.name, namespace, component=pod.component),
        spec=core.ServiceSpecArgs(type="ClusterIP", selector=selector(pod.name), ports=_service_ports(pod)),
        opts=opts,
    )
    return front, headless_service(pod, namespace, opts)


def _service_ports(pod: Pod) -> list[core.ServicePortArgs]:
    return [core.ServicePortArgs(name=name, port=port, target_port=name) for name, port in pod.ports.items()]


def headless_service(pod: Pod, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> core.Service:
    """The Service through which each pod of one track is reached."""
    headless = endpoints.pods(pod.workload)
    return core.Service(
        headless,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=headless,
            namespace=namespace,
            labels=labels(pod.name, pod.component),
            # There need not be a ready pod behind it: what is not ready is watched all the more.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=core.ServiceSpecArgs(
            type="ClusterIP",
            cluster_ip="None",
            publish_not_ready_addresses=True,
            selector=pod.own_selector,
            ports=_service_ports(pod),
        ),
        opts=opts,
    )


def config_map(
    name: str,
    component: str,
    namespace: pulumi.Input[str],
    data: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> core.ConfigMap:
    """A ConfigMap of files."""
    return core.ConfigMap(name, metadata=object_meta(name, namespace, component=component), data=dict(data), opts=opts)
