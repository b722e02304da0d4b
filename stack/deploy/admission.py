"""The rules of `policy.py` for objects that anyone applies: the API server evaluates ValidatingAdmissionPolicies.

An administrator of the cluster applies them once: `./wct admission STACK | kubectl apply -f -`. They hold for the
stack's namespace alone, for all users and tools.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from contracts.metadata import PART_OF, PUBLIC, Manifest
from lean_tracing.redaction import names
from stack.deploy.render import as_yaml
from stack.settings import Settings, load

API_VERSION: Final = "admissionregistration.k8s.io/v1"
_DATABASE_OPERATOR: Final = "system:serviceaccount:cnpg-system:"
"""CloudNativePG's pods call the API server, so they have a token for it."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One expression in CEL, which is true for a good object."""

    rule: str
    """Of `policy.RULES`."""
    expression: str
    message: str


NOT_CHECKED: Final = MappingProxyType(
    {
        "only the own namespace": "the rights of who applies decide on that; the policies hold in one namespace",
        "usable secrets": "make deploy refuses such a Secret before it applies anything",
    }
)
"""Rule that no expression can check → why."""

_POD: Final = (
    "object.kind == 'Pod' ? object.spec : object.kind == 'CronJob' ? object.spec.jobTemplate.spec.template.spec "
    ": object.spec.template.spec"
)
_CONTAINERS: Final = (
    "variables.pod.containers + (has(variables.pod.initContainers) ? variables.pod.initContainers : [])"
)
_VARIABLES: Final = {"pod": _POD, "containers": _CONTAINERS}


def _all(condition: str) -> str:
    return f"variables.containers.all(c, {condition})"


def _security(field: str, condition: str) -> str:
    """Return a condition on a field of a container's security context, or else of the pod's."""
    own, pod = "c.securityContext", "variables.pod.securityContext"
    return (
        f"has({own}) && has({own}.{field}) ? {condition.format(own)} "
        f": has({pod}) && has({pod}.{field}) && {condition.format(pod)}"
    )


def _quantity(kind: str, resource: str) -> str:
    return f"has(c.resources) && has(c.resources.{kind}) && '{resource}' in c.resources.{kind}"


_POD_CHECKS: Final = (
    Check(
        rule="pinned images",
        expression=_all("c.image.contains('@sha256:') || (c.image.matches(':[^/]+$') && !c.image.endsWith(':latest'))"),
        message="the image of a container names no version",
    ),
    *(
        Check(rule="limits", expression=_all(_quantity(kind, resource)), message=f"no resources.{kind}.{resource}")
        for kind, resource in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
    ),
    Check(
        rule="unprivileged",
        expression="has(variables.pod.automountServiceAccountToken) && !variables.pod.automountServiceAccountToken",
        message="pods get a token for the API server",
    ),
    Check(
        rule="unprivileged",
        expression=_all(
            "!(has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged)"
        ),
        message="a container is privileged",
    ),
    Check(
        rule="unprivileged",
        expression=_all(
            "has(c.securityContext) && has(c.securityContext.allowPrivilegeEscalation) && "
            "!c.securityContext.allowPrivilegeEscalation"
        ),
        message="a container may gain privileges",
    ),
    Check(
        rule="unprivileged",
        expression=_all(_security("runAsNonRoot", "{}.runAsNonRoot")),
        message="a container may run as root",
    ),
    Check(
        rule="unprivileged",
        expression=_all(
            "!(has(c.securityContext) && has(c.securityContext.runAsUser) ? c.securityContext.runAsUser == 0 "
            ": has(variables.pod.securityContext) && has(variables.pod.securityContext.runAsUser) "
            "&& variables.pod.securityContext.runAsUser == 0)"
        ),
        message="a container may run as root",
    ),
    Check(
        rule="unprivileged",
        expression=_all(
            "has(c.securityContext) && has(c.securityContext.capabilities) && has(c.securityContext.capabilities.drop)"
            " && c.securityContext.capabilities.drop.exists(name, name == 'ALL')"
        ),
        message="a container keeps capabilities",
    ),
    Check(
        rule="unprivileged",
        expression=_all(
            "!(has(c.securityContext) && has(c.securityContext.capabilities) && has(c.securityContext.capabilities.add)"
            " && size(c.securityContext.capabilities.add) > 0)"
        ),
        message="a container adds capabilities",
    ),
    Check(
        rule="unprivileged",
        expression=_all(_security("seccompProfile", "{}.seccompProfile.type in ['RuntimeDefault', 'Localhost']")),
        message="a container has no seccomp profile",
    ),
    *(
        Check(
            rule="no access to the node",
            expression=f"!(has(variables.pod.{field}) && variables.pod.{field})",
            message=f"{field} is set",
        )
        for field in ("hostNetwork", "hostPID", "hostIPC")
    ),
    Check(
        rule="no access to the node",
        expression="!has(variables.pod.volumes) || variables.pod.volumes.all(v, !has(v.hostPath))",
        message="a volume is a folder of the node",
    ),
    Check(
        rule="no access to the node",
        expression=_all("!has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0)"),
        message="a container takes a port of the node",
    ),
    Check(
        rule="secrets by reference",
        expression=_all(
            "!has(c.env) || c.env.all(e, !has(e.value) || e.value == '' || e.value.contains('$(') "
            f"|| !e.name.matches('{names.MANIFEST}') "
            "|| (has(c.volumeMounts) && c.volumeMounts.exists(m, e.value.startsWith(m.mountPath + '/'))))"
        ),
        message="a variable holds a secret in clear",
    ),
)
_IS_PUBLIC: Final = f"has(object.metadata.annotations) && '{PUBLIC}' in object.metadata.annotations"
_SERVICE_CHECKS: Final = (
    Check(
        rule="private services",
        expression=f"({_IS_PUBLIC}) || (!(object.spec.type in ['LoadBalancer', 'NodePort']) && "
        "!(has(object.spec.externalIPs) && size(object.spec.externalIPs) > 0))",
        message=f"a Service is reached from outside of the cluster, without the annotation {PUBLIC}",
    ),
)
_ROUTE_CHECKS: Final = (
    Check(
        rule="private services",
        expression=_IS_PUBLIC,
        message=f"a way in from outside of the cluster, without the annotation {PUBLIC}",
    ),
)
_RESOURCES: Final[dict[str, tuple[tuple[Check, ...], list[dict[str, Any]]]]] = {
    "pods": (
        _POD_CHECKS,
        [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
            {
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "resources": ["deployments", "statefulsets", "daemonsets", "replicasets"],
            },
            {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs", "cronjobs"]},
        ],
    ),
    "services": (_SERVICE_CHECKS, [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"]}]),
    "routes": (
        _ROUTE_CHECKS,
        [
            {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"]},
            {
                "apiGroups": ["gateway.networking.k8s.io"],
                "apiVersions": ["*"],
                "resources": ["httproutes", "grpcroutes", "tcproutes", "gateways"],
            },
        ],
    ),
}
CHECKED_RULES: Final = frozenset(check.rule for checks, _ in _RESOURCES.values() for check in checks)


def admission_policies(settings: Settings) -> list[Manifest]:
    """Return the policies and their bindings for the namespace of a stack."""
    return [item for name in _RESOURCES for item in _policy(name, settings)]


def print_policies(stack: str) -> None:
    """The command: writes the policies of a stack to standard output, as YAML."""
    sys.stdout.write(as_yaml(admission_policies(load(stack))))


def _policy(kind: str, settings: Settings) -> Iterator[Manifest]:
    checks, resources = _RESOURCES[kind]
    namespace = settings.cluster.namespace
    name = f"{PART_OF}-{namespace}-{kind}"
    metadata = {"name": name, "labels": {"app.kubernetes.io/part-of": PART_OF}}
    exceptions = (
        [
            {
                "name": "not-the-database-operator",
                "expression": f"!request.userInfo.username.startsWith('{_DATABASE_OPERATOR}')",
            }
        ]
        if settings.postgres.cloudnativepg
        else []
    )
    yield {
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{**rule, "operations": ["CREATE", "UPDATE"]} for rule in resources]},
            **({"matchConditions": exceptions} if exceptions else {}),
            **(
                {"variables": [{"name": key, "expression": value} for key, value in _VARIABLES.items()]}
                if kind == "pods"
                else {}
            ),
            "validations": [
                {"expression": check.expression, "message": f"{check.message} (rule '{check.rule}')"}
                for check in checks
            ],
        },
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    yield {
        "apiVersion": API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": selector},
        },
    }
