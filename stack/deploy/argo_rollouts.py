"""Turns the services' Deployments into Rollouts of Argo Rollouts, for teams whose Argo CD or Flux applies manifests.

Each step of a Rollout has an analysis: a Job in the services' image that judges the stage with the code of
`make rollout`. The Job keeps the evidence from look to look. A web provider would need a server that keeps it between
its answers, and a Prometheus provider compares one number with another.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final

from contracts import endpoints, metadata, secret_keys
from contracts.metadata import AUTHORITY, AUTHORITY_FILE, Manifest
from contracts.services import GATEWAY, SERVICES
from stack.components.encryption.settings import STEPS
from stack.components.network.policies import DENY_ALL
from stack.components.services.rollout import AUTHORIZATION_VARIABLE, CA_VARIABLE, StageAnalysis
from stack.errors import DeployError
from stack.settings import Settings

API_VERSION: Final = "argoproj.io/v1alpha1"
ANALYSIS: Final = "rollout-analysis"
"""Name of the AnalysisTemplate, and label of its pods."""
_ARGUMENT: Final = "analysis"
_LABELS: Final = {"app.kubernetes.io/name": ANALYSIS, "app.kubernetes.io/part-of": metadata.PART_OF}


def with_rollouts(manifests: Sequence[Manifest], settings: Settings) -> list[Manifest]:
    """Returns the manifests of a stack with Rollouts in place of the services' Deployments, and what they need.

    Args:
        manifests: of the stack, without a rollout of its own.
        settings: of the stack.

    Raises:
        DeployError: the stack has no services, or no Prometheus that answers queries; or all stages have the whole
            traffic, so that no pod of the stable version is left to compare with.
    """
    _check(settings)
    result: list[Manifest] = []
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "Deployment" and name in SERVICES:
            result.append(_rollout(manifest, settings))
            continue
        result.append(manifest)
        if manifest["kind"] == "Service" and name in map(endpoints.pods, SERVICES):
            result.append(_canary_service(manifest, name))
        if manifest["kind"] == "NetworkPolicy" and name == DENY_ALL:
            result += _network_policies(manifest, manifests)
    gateway = next(item for item in manifests if item["kind"] == "Deployment" and item["metadata"]["name"] == GATEWAY)
    return [*result, _template(gateway, settings)]


def _check(settings: Settings) -> None:
    if not settings.services.enabled:
        raise DeployError("the stack has no services of its own (services.enabled is off), so it has no Rollout")
    if settings.metrics.external is not None:
        raise DeployError(
            "metrics.external is set, and the analysis asks the stack's own Prometheus: use `make rollout`"
        )
    if not _partial_stages(settings):
        raise DeployError("rollout.stages has no stage with a part of the traffic, so nothing could be compared")


def _partial_stages(settings: Settings) -> list[Any]:
    return [stage for stage in settings.rollout.stages if stage.share < 1]


def _rollout(deployment: Manifest, settings: Settings) -> Manifest:
    spec = deepcopy(deployment["spec"])
    labels = spec["template"]["metadata"]["labels"]
    labels.pop(metadata.TRACK, None)  # Argo Rollouts sets it, and changes it once the canary is the stable version
    surge = spec.pop("strategy")["rollingUpdate"]
    spec["strategy"] = {
        "canary": {
            **surge,
            "stableMetadata": {"labels": {metadata.TRACK: "stable"}},
            "canaryMetadata": {"labels": {metadata.TRACK: "canary"}},
            "steps": list(_steps(deployment["metadata"]["name"], settings)),
        }
    }
    return {"apiVersion": API_VERSION, "kind": "Rollout", "metadata": deployment["metadata"], "spec": spec}


def _steps(service: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """A weight and an analysis for each stage that leaves pods of the stable version."""
    stages = _partial_stages(settings)
    limits = settings.rollout.gate
    # A Job keeps no evidence for the next one. Each stage has its part of the error budget instead.
    is_encrypted = STEPS[settings.encryption.telemetry].speaks_tls
    prometheus = endpoints.url(endpoints.PROMETHEUS, endpoints.PROMETHEUS_PORT, encrypted=is_encrypted)
    part = limits.model_copy(update={"false_alarms": limits.false_alarms / len(stages)})
    for stage in stages:
        analysis = StageAnalysis(
            service=service,
            prometheus=prometheus,
            soak_seconds=stage.soak_seconds,
            is_traced=settings.tracing.enabled,
            gate=part,
        )
        yield {"setWeight": max(1, round(100 * stage.share))}
        value = analysis.model_dump_json(by_alias=True)
        yield {"analysis": {"templates": [{"templateName": ANALYSIS}], "args": [{"name": _ARGUMENT, "value": value}]}}


def _canary_service(service: Manifest, name: str) -> Manifest:
    """The Service through which Prometheus finds the canary's pods."""
    canary = deepcopy(service)
    canary["metadata"]["name"] = endpoints.pods(endpoints.track(name.removesuffix(endpoints.pods("")), "canary"))
    canary["spec"]["selector"][metadata.TRACK] = "canary"
    return canary


def _template(gateway: Manifest, settings: Settings) -> Manifest:
    """The analysis: its pods have the image and the restrictions of the gateway's, and no access to the API server."""
    pod = gateway["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    kept = ("securityContext", "imagePullSecrets", "nodeSelector", "tolerations", "enableServiceLinks")
    spec = {
        **{key: deepcopy(pod[key]) for key in kept if key in pod},
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "judge",
                "image": container["image"],
                "imagePullPolicy": container["imagePullPolicy"],
                "command": ["python3", "-m", "stack.rollout"],
                "env": [
                    {"name": _ARGUMENT.upper(), "value": f"{{{{args.{_ARGUMENT}}}}}"},
                    *(_access() if STEPS[settings.encryption.telemetry].speaks_tls else []),
                ],
                "resources": deepcopy(container["resources"]),
                "securityContext": deepcopy(container["securityContext"]),
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    job = {"backoffLimit": 0, "template": {"metadata": {"labels": _LABELS}, "spec": spec}}
    return {
        "apiVersion": API_VERSION,
        "kind": "AnalysisTemplate",
        "metadata": {
            "name": ANALYSIS,
            "namespace": gateway["metadata"]["namespace"],
            "labels": metadata.labels(ANALYSIS, "rollout"),
        },
        "spec": {
            "args": [{"name": _ARGUMENT}],
            "metrics": [{"name": "judgement", "provider": {"job": {"spec": job}}}],
        },
    }


def _access() -> list[dict[str, Any]]:
    """The variables by which the judge knows an encrypted Prometheus, and that knows the judge."""
    ca = {"name": AUTHORITY, "key": AUTHORITY_FILE}
    token = {"name": secret_keys.SECRET, "key": secret_keys.TELEMETRY_AUTHORIZATION}
    return [
        {"name": CA_VARIABLE, "valueFrom": {"configMapKeyRef": ca}},
        {"name": AUTHORIZATION_VARIABLE, "valueFrom": {"secretKeyRef": token}},
    ]


def _network_policies(deny_all: Manifest, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """The connection from the Job to Prometheus, which no other stack has, and to the name server."""
    prometheus = metadata.selector(endpoints.PROMETHEUS)
    ports = [{"port": endpoints.PROMETHEUS_PORT, "protocol": "TCP"}]
    policy = next(
        item
        for item in manifests
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == endpoints.PROMETHEUS
    )
    dns = policy["spec"]["egress"][0]
    specifications = {
        ANALYSIS: {
            "podSelector": {"matchLabels": _LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [dns, {"to": [{"podSelector": {"matchLabels": prometheus}}], "ports": ports}],
        },
        f"{ANALYSIS}-to-{endpoints.PROMETHEUS}": {
            "podSelector": {"matchLabels": prometheus},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": _LABELS}}], "ports": ports}],
        },
    }
    for name, specification in specifications.items():
        yield {**deny_all, "metadata": {**deny_all["metadata"], "name": name}, "spec": specification}
