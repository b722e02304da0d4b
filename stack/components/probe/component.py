"""The permanent probe, which runs from the image of the services."""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import endpoints, http
from contracts.metadata import SKIP_AWAIT
from stack.components.probe.settings import Probe as ProbeSettings
from stack.components.shared.environment import variables
from stack.components.shared.pod import Container, Pod
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.service import headless_service
from stack.components.shared.workload import deployment

_UID: Final = 10001


@dataclass(frozen=True, kw_only=True)
class ProbeArgs:
    namespace: pulumi.Input[str]
    settings: ProbeSettings
    image: str
    """Image of the services."""
    trace_backend: str
    tail_sampling: bool
    gateway_url: pulumi.Input[str]
    traces_url: pulumi.Input[str]
    prometheus_url: pulumi.Input[str]
    loki_url: pulumi.Input[str] | None


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
            probes=Probes(
                readiness=http_probe(http.READY, endpoints.SERVICE_PORT),
                liveness=http_probe(http.LIVE, endpoints.SERVICE_PORT),
            ),
        )
        headless_service(pod, args.namespace, child)
        # A probe that cannot start must not stop a deployment, nor the way back of a rollout; an alert reports it.
        deployment(pod, args.namespace, 1, child, annotations=SKIP_AWAIT)
        self.interval_seconds = pulumi.Output.from_input(args.settings.interval_seconds)
        self.register_outputs({"interval_seconds": self.interval_seconds})


def _environment(args: ProbeArgs) -> list[k8s.core.v1.EnvVarArgs]:
    addresses = {
        "GATEWAY_URL": args.gateway_url,
        "TRACES_URL": args.traces_url,
        "PROMETHEUS_URL": args.prometheus_url,
        **({} if args.loki_url is None else {"LOKI_URL": args.loki_url}),
    }
    return [
        *variables(
            PORT=endpoints.SERVICE_PORT,
            PROBE_INTERVAL_SECONDS=args.settings.interval_seconds,
            TRACE_BACKEND=args.trace_backend,
            TAIL_SAMPLING=args.tail_sampling,
        ),
        *(k8s.core.v1.EnvVarArgs(name=name, value=url) for name, url in addresses.items()),
    ]
