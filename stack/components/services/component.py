"""The three services, one image: gateway, task-manager and web-crawler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http, metadata, secret_keys
from stack.components.collector.settings import Sampling
from stack.components.secrets import component as secrets
from stack.components.services.tracing import Tracing
from stack.components.shared import workload
from stack.components.shared.settings import Workload
from stack.settings import Settings

_UID: Final = 10001

Service = Literal["gateway", "task_manager", "crawler"]
NAMES: Final[Mapping[Service, str]] = {
    "gateway": endpoints.GATEWAY,
    "task_manager": endpoints.TASK_MANAGER,
    "crawler": endpoints.CRAWLER,
}
"""What each is called in the cluster, by its name in the settings."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One of the versions of a service that run side by side."""

    track: Literal["baseline", "canary"]
    image: str
    tracing: Tracing
    replicas: int


def versions_of(service: Service, settings: Settings) -> tuple[Version, ...]:
    """What runs of a service: what the settings say; while that is rolled out, what ran before as well."""
    release = settings.release
    if release is None:
        size: Workload = getattr(settings.services, service)
        return (
            Version(track="baseline", image=settings.images.service, tracing=settings.tracing, replicas=size.replicas),
        )
    split = getattr(release, service)
    tracing = settings.tracing
    if release.sampling_rate is not None:
        tracing = tracing.model_copy(update={"sampling_rate": release.sampling_rate})
    before = Version(track="baseline", image=release.image, tracing=release.tracing, replicas=split.baseline)
    after = Version(track="canary", image=settings.images.service, tracing=tracing, replicas=split.canary)
    return (before, after) if split.canary else (before,)


@dataclass(frozen=True, kw_only=True)
class ServicesArgs:
    namespace: pulumi.Input[str]
    secret: pulumi.Input[str]
    settings: Settings
    otlp_endpoint: pulumi.Input[str]
    bootstrap_servers: pulumi.Input[str]
    database_url: pulumi.Input[str]


class Services(pulumi.ComponentResource):
    """The instrumented task-manager with the gateway before it and the crawler behind it."""

    gateway: pulumi.Output[str]
    """In-cluster URL of the front door."""

    def __init__(self, name: str, args: ServicesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Services", name, None, opts)
        variable = k8s.core.v1.EnvVarArgs
        task_manager_url = endpoints.url(endpoints.TASK_MANAGER, endpoints.SERVICE_PORT)
        own: Mapping[Service, Sequence[k8s.core.v1.EnvVarArgs]] = {
            "gateway": [variable(name="TASK_MANAGER_URL", value=task_manager_url)],
            "task_manager": [
                variable(name="DATABASE_URL", value=args.database_url),
                # The driver reads it by itself, so the password is part of no URL that might be logged.
                secrets.reference("PGPASSWORD", secret_keys.POSTGRES_PASSWORD, args.secret),
            ],
            # The page of the smoke check; otherwise the crawler goes to public addresses only.
            "crawler": [variable(name="CRAWLER_ALLOWED_HOSTS", value=f"{endpoints.GATEWAY}:{endpoints.SERVICE_PORT}")],
        }
        before: list[pulumi.Resource] = []
        for service in reversed(list(NAMES)):
            before = self._run(service, args, own[service], before)
        self.gateway = pulumi.Output.from_input(endpoints.url(endpoints.GATEWAY, endpoints.SERVICE_PORT))
        self.register_outputs({"gateway": self.gateway})

    def _run(
        self,
        service: Service,
        args: ServicesArgs,
        own: Sequence[k8s.core.v1.EnvVarArgs],
        before: Sequence[pulumi.Resource],
    ) -> list[pulumi.Resource]:
        """A service's Deployments, which begin when those before are ready: all new pods at once would starve the old.

        A service comes before the services that call it, as in `stack.kubernetes.order.service_groups`.
        """
        child = pulumi.ResourceOptions(parent=self)
        in_turn = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=before))
        name = NAMES[service]
        size: Workload = getattr(args.settings.services, service)
        versions = versions_of(service, args.settings)
        together = sum(version.replicas for version in versions)
        deployments: list[pulumi.Resource] = []
        for version in versions:
            pod = workload.Pod(
                name=name,
                component="service",
                image=version.image,
                user=_UID,
                size=size,
                ports={"http": endpoints.SERVICE_PORT},
                command=["python3", "-m", f"service.{service}"],
                env=[*_environment(name, version, args), *own],
                readiness=workload.http_probe(http.READY, endpoints.SERVICE_PORT, period=2),
                liveness=workload.http_probe(http.LIVE, endpoints.SERVICE_PORT),
                track=version.track,
            )
            if version.track == "baseline":
                workload.services(pod, args.namespace, child)
            else:
                workload.headless_service(pod, args.namespace, child)
            deployments.append(workload.deployment(pod, args.namespace, version.replicas, in_turn, together))
        return deployments


def _stored(sampling: Sampling | None) -> dict[str, str | int | float | bool]:
    """By what a service knows which traces the samplers keep; nothing where all are stored."""
    if sampling is None:
        return {}
    slow = {"TRACES_STORED_SLOW_MS": sampling.slow_ms} if "slow" in sampling.policies else {}
    return {"TRACES_STORED_RATIO": sampling.ratio, **slow}


def _environment(name: str, version: Version, args: ServicesArgs) -> list[k8s.core.v1.EnvVarArgs]:
    """What all three need: Kafka, and where and how to trace."""
    settings = args.settings
    resource = {
        "service.namespace": metadata.PART_OF,
        "service.version": version.image.rpartition(":")[2],
        "service.instance.id": "$(POD_NAME)",
        "deployment.environment.name": settings.environment,
        "k8s.namespace.name": "$(POD_NAMESPACE)",
        "k8s.deployment.name": endpoints.canary(name) if version.track == "canary" else name,
        "k8s.pod.name": "$(POD_NAME)",
        "k8s.pod.uid": "$(POD_UID)",
        "k8s.node.name": "$(NODE_NAME)",
    }
    return [
        # $(NAME) in a value is filled in by the kubelet from variables that come before it.
        workload.field_ref("POD_NAME", "metadata.name"),
        workload.field_ref("POD_NAMESPACE", "metadata.namespace"),
        workload.field_ref("POD_UID", "metadata.uid"),
        workload.field_ref("NODE_NAME", "spec.nodeName"),
        *workload.env(
            PORT=endpoints.SERVICE_PORT,
            KAFKA_TOPIC_PARTITIONS=settings.kafka.partitions,
            **version.tracing.to_env(),
            OTEL_SERVICE_NAME=name,
            OTEL_LOGS_EXPORTER="otlp" if settings.logs.enabled else "none",
            OTEL_RESOURCE_ATTRIBUTES=",".join(f"{key}={value}" for key, value in resource.items()),
        ),
        k8s.core.v1.EnvVarArgs(name="KAFKA_BOOTSTRAP_SERVERS", value=args.bootstrap_servers),
        k8s.core.v1.EnvVarArgs(name="OTEL_EXPORTER_OTLP_ENDPOINT", value=args.otlp_endpoint),
        *workload.env(**_stored(settings.collector.sampling)),
        secrets.reference("TRACING_HASH_KEY", secret_keys.HASH_KEY, args.secret),
        secrets.reference("OTLP_TOKEN", secret_keys.OTLP_TOKEN, args.secret),
        # Percent-encoded, as the variable's format asks for.
        *workload.env(OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20$(OTLP_TOKEN)"),
    ]
