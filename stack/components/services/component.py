"""The services, which share one image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http, metadata, secret_keys
from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from contracts.section import duration_hours
from contracts.services import CRAWLER, GATEWAY, PACKAGES, SERVICES, TASK_MANAGER
from stack.components.collector.settings import Sampling
from stack.components.encryption.clients import base_url, trusted
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.pod import behind, listen_variables, proxy
from stack.components.kafka.access import KafkaAccess
from stack.components.postgres.access import DatabaseAccess
from stack.components.postgres.database import SERVICE_ROLE
from stack.components.services.access import Access
from stack.components.services.access_environment import gateway_variables, task_manager_variables
from stack.components.services.settings import Release
from stack.components.services.settings import Services as ServicesSettings
from stack.components.services.settings import Tasks as TasksSettings
from stack.components.services.tracing import Tracing
from stack.components.services.versions import Version, running_versions
from stack.components.shared.environment import field_variable, secret_variable, variables
from stack.components.shared.pod import Container, Pod, container_security, resources
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import headless_service, services
from stack.components.shared.storage import Storage
from stack.components.shared.workload import deployment

core = k8s.core.v1

_UID: Final = 10001
_AUTHORITY: Final = "/etc/collector-authority"
"""Folder of the certificate of the Collectors' authority."""
_WAIT_SECONDS: Final = 300
"""How long migrations wait for the database, which may start at the same time."""


@dataclass(frozen=True, kw_only=True)
class ServicesArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    """Name of the stack's Secret."""
    settings: ServicesSettings
    image: str
    tasks: TasksSettings
    access: Access | None
    """Who may call the gateway; None: every program."""
    tracing: Tracing
    release: Release | None
    """State of a rollout that is in progress."""
    environment: str
    """Name of the environment, for the spans."""
    topic_partitions: int
    export_logs: bool
    """Whether there is a log store."""
    sampling: Sampling | None
    """How the samplers decide, if the stack has some: exemplars then link only to traces that are stored."""
    otlp_endpoint: pulumi.Input[str]
    """URL of the Collectors' receiver over HTTP."""
    otlp_encrypted: bool
    """Whether the Collectors' receiver has TLS, with a certificate of the stack's own authority."""
    protection: Protection | None
    """What TLS of the services needs; None if they are in clear."""
    gateway_annotations: Mapping[str, str]
    """Of the gateway's Service, for the controller of an Ingress."""
    brokers: KafkaAccess
    database: DatabaseAccess


class Services(pulumi.ComponentResource):
    """The instrumented task-manager, with the gateway that calls it and the web-crawler that works for it."""

    gateway: pulumi.Output[str]
    """URL of the gateway in the cluster."""

    def __init__(self, name: str, args: ServicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Services", name, None, opts)
        own_variables = _own_variables(args)
        dependencies: list[pulumi.Resource] = []
        # A service starts before the services that call it, as in `stack.kubernetes.order.service_groups`.
        for service in reversed(SERVICES):
            dependencies = self._deploy(service, args, own_variables.get(service, []), dependencies)
        self.gateway = pulumi.Output.from_input(base_url(GATEWAY, endpoints.SERVICE_PORT, args.protection))
        self.register_outputs({"gateway": self.gateway})

    def _deploy(
        self,
        service: str,
        args: ServicesArgs,
        own_variables: Sequence[core.EnvVarArgs],
        dependencies: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """Create the Deployments of a service; Pulumi updates them when `dependencies` are ready.

        If the pods of all services started at once, they would take the CPU that the old pods need.
        """
        child = pulumi.ResourceOptions(parent=self)
        in_turn = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=dependencies))
        versions = running_versions(service, args.settings, args.image, args.tracing, args.release)
        all_pods = sum(version.replicas for version in versions)
        pods = [_pod(service, version, args, own_variables) for version in versions]
        if args.protection:
            shared = proxy(pods[0], args.protection, child)  # the same for all versions
            pods = [behind(pod, shared) for pod in pods]
        deployments: list[pulumi.Resource] = []
        for version, pod in zip(versions, pods, strict=True):
            if version.track == "stable":
                annotations = args.gateway_annotations if service == GATEWAY else None
                services(pod, args.namespace, child, annotations=annotations)
            else:
                headless_service(pod, args.namespace, child)
            deployments.append(deployment(pod, args.namespace, version.replicas, in_turn, all_pods))
        return deployments


def _pod(name: str, version: Version, args: ServicesArgs, own_variables: Sequence[core.EnvVarArgs]) -> Pod:
    return Pod(
        name=name,
        component="service",
        user=_UID,
        container=Container(
            image=version.image,
            size=args.settings.sizes[name],
            ports={"http": endpoints.SERVICE_PORT},
            command=["python3", "-m", f"service.{PACKAGES[name]}"],
            env=[*_common_variables(name, version, args), *own_variables],
        ),
        probes=Probes(
            readiness=http_probe(http.READY, endpoints.SERVICE_PORT, period=2),
            liveness=http_probe(http.LIVE, endpoints.SERVICE_PORT),
        ),
        track=version.track,
        init=_migration(version, args) if name == TASK_MANAGER else (),
        storage=_storage(name, args),
    )


def _storage(name: str, args: ServicesArgs) -> Storage:
    storage = args.database.storage if name == TASK_MANAGER else Storage()
    if not args.otlp_encrypted:
        return storage
    return replace(storage, config_maps={**storage.config_maps, _AUTHORITY: AUTHORITY})


def _migration(version: Version, args: ServicesArgs) -> Sequence[core.ContainerArgs]:
    """Return the init container that migrates as the tables' owner, if the task-manager's role may not."""
    owner, storage = args.database.owner, args.database.storage
    if owner is None:
        return ()
    return (
        core.ContainerArgs(
            name="migrate",
            image=version.image,
            image_pull_policy="IfNotPresent",
            command=["python3", "-m", "service.task_manager.migrate"],
            args=["upgrade", f"--wait={_WAIT_SECONDS}", f"--grant={SERVICE_ROLE}"],
            env=[core.EnvVarArgs(name="DATABASE_URL", value=owner.url), owner.password],
            resources=resources(args.settings.sizes[TASK_MANAGER]),
            security_context=container_security(),
            volume_mounts=storage.mounts(),
        ),
    )


def _own_variables(args: ServicesArgs) -> Mapping[str, Sequence[core.EnvVarArgs]]:
    """Return the variables that one service needs, by the name of the service."""
    return {
        GATEWAY: [
            *variables(TASK_MANAGER_URL=base_url(TASK_MANAGER, endpoints.SERVICE_PORT, args.protection)),
            *_authority("TASK_MANAGER_CA", trusted(args.protection)),
            *(gateway_variables(args.access, args.secret) if args.access else []),
        ],
        TASK_MANAGER: [
            core.EnvVarArgs(name="DATABASE_URL", value=args.database.url),
            args.database.password,
            *_retention(args.tasks),
            *(task_manager_variables(args.secret) if args.access else []),
        ],
        # The page that the smoke check crawls. All other addresses must be public.
        CRAWLER: [
            *variables(CRAWLER_ALLOWED_HOSTS=f"{GATEWAY}:{endpoints.SERVICE_PORT}"),
            # As soon as the gateway takes TLS: in a rolling update, the probe that names the page may be a step ahead.
            *_authority("CRAWLER_CA", args.protection.authority if args.protection else None),
        ],
    }


def _authority(name: str, authority: pulumi.Output[str] | None) -> list[core.EnvVarArgs]:
    """Return the variable with the authority that a service trusts when it calls another one."""
    return [] if authority is None else [core.EnvVarArgs(name=name, value=authority)]


def _retention(tasks: TasksSettings) -> list[core.EnvVarArgs]:
    return variables(TASKS_RETENTION_HOURS=duration_hours(tasks.retention)) if tasks.retention else []


def _common_variables(name: str, version: Version, args: ServicesArgs) -> list[core.EnvVarArgs]:
    """Return the variables that all services need: Kafka, and how and where to trace."""
    return [
        # The kubelet replaces $(NAME) in a value by the variable NAME, if NAME comes first.
        field_variable("POD_NAME", "metadata.name"),
        field_variable("POD_NAMESPACE", "metadata.namespace"),
        field_variable("POD_UID", "metadata.uid"),
        field_variable("NODE_NAME", "spec.nodeName"),
        *listen_variables(args.protection),
        *variables(
            PORT=endpoints.SERVICE_PORT,
            KAFKA_TOPIC_PARTITIONS=args.topic_partitions,
            **version.tracing.to_env(),
            OTEL_SERVICE_NAME=name,
            OTEL_LOGS_EXPORTER="otlp" if args.export_logs else "none",
            OTEL_RESOURCE_ATTRIBUTES=_resource_attributes(name, version, args.environment),
        ),
        *args.brokers.service_variables(name, args.secret),
        # Over gRPC, a pod takes 14 MiB more.
        *variables(OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf"),
        core.EnvVarArgs(name="OTEL_EXPORTER_OTLP_ENDPOINT", value=args.otlp_endpoint),
        *(variables(OTEL_EXPORTER_OTLP_CERTIFICATE=f"{_AUTHORITY}/{AUTHORITY_FILE}") if args.otlp_encrypted else []),
        *_sampling_variables(args.sampling),
        secret_variable("TRACING_HASH_KEY", secret_keys.HASH_KEY, args.secret),
        secret_variable("OTLP_TOKEN", secret_keys.OTLP_TOKEN, args.secret),
        # The variable's format requires percent-encoding.
        *variables(OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20$(OTLP_TOKEN)"),
    ]


def _resource_attributes(name: str, version: Version, environment: str) -> str:
    attributes = {
        "service.namespace": metadata.PART_OF,
        "service.version": version.image.rpartition(":")[2],
        "service.instance.id": "$(POD_NAME)",
        "deployment.environment.name": environment,
        "k8s.namespace.name": "$(POD_NAMESPACE)",
        "k8s.deployment.name": endpoints.track(name, version.track),
        "k8s.pod.name": "$(POD_NAME)",
        "k8s.pod.uid": "$(POD_UID)",
        "k8s.node.name": "$(NODE_NAME)",
    }
    return ",".join(f"{key}={value}" for key, value in attributes.items())


def _sampling_variables(sampling: Sampling | None) -> list[core.EnvVarArgs]:
    """Return the variables by which a service knows which traces the samplers store; none if all are stored."""
    if sampling is None:
        return []
    slow = {"TRACES_STORED_SLOW_MS": sampling.slow_ms} if "slow" in sampling.policies else {}
    return variables(TRACES_STORED_RATIO=sampling.ratio, **slow)
