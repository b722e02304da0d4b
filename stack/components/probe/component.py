"""The permanent probe, which runs from the image of the services."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http, secret_keys
from contracts.metadata import SKIP_AWAIT
from stack.components.encryption.clients import trusted
from stack.components.encryption.issuers import Certified
from stack.components.encryption.protection import Protection
from stack.components.encryption.proxy.pod import listen_variables, protect
from stack.components.encryption.server import CERTIFICATE_FILE
from stack.components.probe.settings import Probe as ProbeSettings
from stack.components.shared.environment import secret_variable, variables
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import headless_service
from stack.components.shared.storage import SecretFiles, Storage
from stack.components.shared.store import QueryAccess, QueryApi
from stack.components.shared.workload import deployment

_UID: Final = 10001
_CERTIFICATES: Final = "/etc/certificates"
"""Folder with a folder for each server."""


@dataclass(frozen=True, kw_only=True)
class ProbeArgs:
    namespace: pulumi.Input[str]
    settings: ProbeSettings
    visible_seconds: int
    """The objective of the telemetry: the time within which it must be visible, in s."""
    image: str
    """Image of the services."""
    trace_backend: str
    tail_sampling: bool
    environment: str
    """Name of the environment, for the root spans."""
    gateway_url: pulumi.Input[str]
    protection: Protection | None = None
    """What TLS of the services and of the probe needs; None if they are in clear."""
    needs_key: bool
    """Whether the gateway needs an API key."""
    collector_url: pulumi.Input[str]
    """Of the Collectors' receiver of OTLP over HTTP."""
    collector_ca: pulumi.Input[str] | None = None
    """Of the authority that signed the Collectors' certificates, as PEM; None without TLS."""
    secret: pulumi.Input[str]
    """Name of the Secret with the Collectors' token and the credentials of stores."""
    traces: QueryApi
    metrics: QueryApi
    logs: QueryApi | None
    certified: Sequence[Certified] = ()
    """The certificates of the stack."""


class Probe(pulumi.ComponentResource):
    """One pod that sends a request each minute and looks for all of its telemetry."""

    interval_seconds: pulumi.Output[int]
    """Time between two requests."""

    def __init__(self, name: str, args: ProbeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:Probe", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        pod = Pod(
            name=endpoints.PROBE,
            component="probe",
            user=_UID,
            container=Container(
                image=args.image,
                size=args.settings,
                ports={"http": endpoints.SERVICE_PORT},
                command=["python3", "-m", "stack.probe"],
                env=_environment(args),
            ),
            storage=Storage(
                secrets={
                    f"{_CERTIFICATES}/{item.name}": SecretFiles(
                        secret=item.secret, keys={CERTIFICATE_FILE: CERTIFICATE_FILE}
                    )
                    for item in args.certified
                }
            ),
            probes=Probes(
                readiness=http_probe(http.READY, endpoints.SERVICE_PORT),
                liveness=http_probe(http.LIVE, endpoints.SERVICE_PORT),
            ),
        )
        pod = protect(pod, args.protection, child)
        headless_service(pod, args.namespace, child)
        # A probe that cannot start must not stop a deployment, nor the way back of a rollout; an alert reports it.
        deployment(pod, args.namespace, 1, child, annotations=SKIP_AWAIT)
        self.interval_seconds = pulumi.Output.from_input(args.settings.interval_seconds)
        self.register_outputs({"interval_seconds": self.interval_seconds})


def _environment(args: ProbeArgs) -> list[k8s.core.v1.EnvVarArgs]:
    addresses = {
        "GATEWAY_URL": args.gateway_url,
        "COLLECTOR_URL": args.collector_url,
        "TRACES_URL": args.traces.url,
        "PROMETHEUS_URL": args.metrics.url,
        **({} if args.logs is None else {"LOKI_URL": args.logs.url}),
    }
    return [
        *listen_variables(args.protection),
        *variables(
            PORT=endpoints.SERVICE_PORT,
            ENVIRONMENT=args.environment,
            PROBE_INTERVAL_SECONDS=args.settings.interval_seconds,
            PROBE_VISIBLE_SECONDS=args.visible_seconds,
            TRACE_BACKEND=args.trace_backend,
            TAIL_SAMPLING=args.tail_sampling,
        ),
        *(variables(CERTIFICATES=_CERTIFICATES) if args.certified else []),
        *(k8s.core.v1.EnvVarArgs(name=name, value=url) for name, url in addresses.items()),
        *([secret_variable("GATEWAY_KEY", secret_keys.STACK_KEY, args.secret)] if args.needs_key else []),
        secret_variable("OTLP_TOKEN", secret_keys.OTLP_TOKEN, args.secret),
        *_authority("GATEWAY", trusted(args.protection)),
        *_authority("COLLECTOR", args.collector_ca),
        *_access("TRACES", args.traces.access, args.secret),
        *_access("PROMETHEUS", args.metrics.access, args.secret),
        *(_access("LOKI", args.logs.access, args.secret) if args.logs else []),
    ]


def _access(prefix: str, access: QueryAccess, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables with which the probe gets access to a store."""
    values = {
        **({f"{prefix}_HEADERS": json.dumps(dict(access.headers))} if access.headers else {}),
    }
    authorization = (
        [secret_variable(f"{prefix}_AUTHORIZATION", access.authorization, secret)] if access.authorization else []
    )
    return [*variables(**values), *_authority(prefix, access.ca), *authorization]


def _authority(prefix: str, ca: pulumi.Input[str] | None) -> list[k8s.core.v1.EnvVarArgs]:
    return [] if ca is None else [k8s.core.v1.EnvVarArgs(name=f"{prefix}_CA", value=ca)]
