"""Rules for what a stack declares, checked before manifests are written or anything is deployed.

A rule is a function of one object that yields its problems. `make deploy` and `make render` check all rules. The tests
check every stack, and that each rule finds a violation.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from contracts import metadata, secret_keys
from contracts.errors import UserError
from contracts.metadata import Manifest
from lean_tracing.redaction.configuration import has_secret_in_clear, is_secret_name
from stack.deploy.secret_values import problem_of
from stack.kubernetes.keys import object_name


class PolicyError(UserError):
    """The program declares what no stack may have; the message names each object, its problem and the rule."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    rule: str
    object: str
    problem: str

    def __str__(self) -> str:
        return f"{self.object}: {self.problem} (rule {self.rule!r})"


Rule = Callable[[Manifest], Iterator[str]]
"""An object → its problems."""


def _pod(manifest: Manifest) -> dict[str, Any]:
    """The specification of an object's pods; empty if it has none."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Pod":
        return dict(spec)
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return dict(spec.get("template", {}).get("spec", {}))


def _containers(manifest: Manifest) -> list[dict[str, Any]]:
    pod = _pod(manifest)
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def pinned_images(manifest: Manifest) -> Iterator[str]:
    """A deployment of `latest`, or of an image without a tag, cannot be repeated or rolled back."""
    for container in _containers(manifest):
        name = str(container.get("image", "")).rpartition("/")[2]
        if "@sha256:" not in name and (":" not in name or name.endswith(":latest")):
            yield f"container {container['name']}: image {container.get('image')!r} names no version"


def limits(manifest: Manifest) -> Iterator[str]:
    """Without a memory limit one pod can exhaust its node; without requests the scheduler cannot place pods well."""
    for container in _containers(manifest):
        resources = container.get("resources", {})
        for kind, resource in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
            if resource not in resources.get(kind, {}):
                yield f"container {container['name']}: no resources.{kind}.{resource}"


def unprivileged(manifest: Manifest) -> Iterator[str]:
    """A pod gets the rights of a plain process of a plain user, and no token for the API server."""
    pod = _pod(manifest)
    if not pod:
        return
    if pod.get("automountServiceAccountToken") is not False:
        yield "pods get a token for the API server"
    shared = pod.get("securityContext", {})
    for container in _containers(manifest):
        own = {**shared, **container.get("securityContext", {})}
        problems = {
            "is privileged": own.get("privileged"),
            "may gain privileges": own.get("allowPrivilegeEscalation") is not False,
            "may run as root": own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0,
            "keeps capabilities": "ALL" not in own.get("capabilities", {}).get("drop", []),
            "adds capabilities": own.get("capabilities", {}).get("add"),
            "has no seccomp profile": own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
        }
        for problem, has_problem in problems.items():
            if has_problem:
                yield f"container {container['name']} {problem}"


def no_access_to_the_node(manifest: Manifest) -> Iterator[str]:
    """A pod uses no namespace, folder or port of its node."""
    pod = _pod(manifest)
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(namespace):
            yield f"{namespace} is set"
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is the node's {volume['hostPath'].get('path')}"
    for container in _containers(manifest):
        for port in container.get("ports", []):
            if port.get("hostPort"):
                yield f"container {container['name']} takes the node's port {port['hostPort']}"


def secrets_by_reference(manifest: Manifest) -> Iterator[str]:
    """Secrets are only in Secret objects. The problem does not repeat the value, because it ends up in logs."""
    for container in _containers(manifest):
        folders = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for variable in container.get("env", []):
            value = str(variable.get("value", ""))
            if any(value.startswith(f"{folder}/") for folder in folders):
                continue  # the path of a file, which is mounted
            if value and ((is_secret_name(variable["name"]) and "$(" not in value) or has_secret_in_clear(value)):
                yield f"container {container['name']}: variable {variable['name']} holds a secret in clear"
        for argument in (*container.get("command", []), *container.get("args", [])):
            if has_secret_in_clear(str(argument)):
                yield f"container {container['name']}: its command line holds a secret in clear"
    if manifest["kind"] == "ConfigMap":
        for key, text in manifest.get("data", {}).items():
            if has_secret_in_clear(text):
                yield f"{key} holds a secret in clear"


def usable_secrets(manifest: Manifest) -> Iterator[str]:
    """A secret that no server accepts would show only as pods that do not become ready, or as data that is refused."""
    if manifest["kind"] == "Secret" and manifest["metadata"]["name"] == secret_keys.SECRET:
        for key in secret_keys.ALL:
            if (value := manifest.get("stringData", {}).get(key)) is not None and (text := problem_of(key, value)):
                yield f"{key} {text}; set it again"


def private_services(manifest: Manifest) -> Iterator[str]:
    """A Service that is reached from outside of the cluster has an annotation with the reason."""
    if manifest["metadata"].get("annotations", {}).get(metadata.PUBLIC):
        return
    spec = manifest.get("spec", {})
    if manifest["kind"] == "Service" and (spec.get("type") in ("LoadBalancer", "NodePort") or spec.get("externalIPs")):
        yield f"is reached from outside of the cluster, without the annotation {metadata.PUBLIC}"
    if manifest["kind"] in ("Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute", "Gateway"):
        yield f"opens a way in from outside of the cluster, without the annotation {metadata.PUBLIC}"


_CLUSTER_WIDE: Final = re.compile(
    r"^(Cluster.+|PriorityClass|StorageClass|IngressClass|RuntimeClass|CustomResourceDefinition|PersistentVolume|Node"
    r"|APIService|(Validating|Mutating)(Webhook|AdmissionPolicy).*)$"
)


_SPREAD: Final = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


def only_the_own_namespace(manifest: Manifest) -> Iterator[str]:
    """A stack changes only its own namespace: others share the cluster, and its users need not administer it."""
    if manifest["kind"] == "Namespace":
        return
    if _CLUSTER_WIDE.match(manifest["kind"]):
        yield "belongs to the whole cluster"
    elif not manifest["metadata"].get("namespace"):
        yield "names no namespace"


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "pinned images": pinned_images,
        "limits": limits,
        "unprivileged": unprivileged,
        "no access to the node": no_access_to_the_node,
        "secrets by reference": secrets_by_reference,
        "usable secrets": usable_secrets,
        "private services": private_services,
        "only the own namespace": only_the_own_namespace,
    }
)


def violations(manifests: Sequence[Manifest]) -> list[Violation]:
    """Everything in the manifests that a rule forbids, in their order."""
    of_single_objects = [
        Violation(rule=rule, object=object_name(manifest), problem=problem)
        for manifest in manifests
        for rule, check in RULES.items()
        for problem in check(manifest)
    ]
    return [*of_single_objects, *_one_namespace(manifests), *_leaked(manifests), *_unavailable(manifests)]


def require_compliance(manifests: Sequence[Manifest]) -> None:
    """Raises an error if the manifests break a rule.

    Raises:
        PolicyError: Names every violation.
    """
    if problems := violations(manifests):
        raise PolicyError(
            "the stack breaks rules of stack/deploy/policy.py:\n" + "\n".join(f"  {item}" for item in problems)
        )


def _one_namespace(manifests: Iterable[Manifest]) -> Iterator[Violation]:
    """All objects are in the namespace that is declared."""
    declared = {item["metadata"]["name"] for item in manifests if item["kind"] == "Namespace"}
    for manifest in manifests:
        namespace = manifest["metadata"].get("namespace")
        if namespace and declared and namespace not in declared:
            problem = f"is in namespace {namespace}, which is not the stack's"
            yield Violation(rule="only the own namespace", object=object_name(manifest), problem=problem)


def _unavailable(manifests: Sequence[Manifest]) -> Iterator[Violation]:
    """A workload of several pods loses no more than one of them with a node, a zone or a drain."""
    selectors = [item["spec"]["selector"]["matchLabels"] for item in manifests if item["kind"] == "PodDisruptionBudget"]
    for manifest in manifests:
        if manifest["kind"] not in ("Deployment", "StatefulSet") or manifest["spec"].get("replicas", 2) < 2:
            continue  # without `replicas` an autoscaler decides
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        constraints = _pod(manifest).get("topologySpreadConstraints", [])
        problems = [
            f"its pods are not spread over {key}"
            for key in _SPREAD
            if not any(item["topologyKey"] == key for item in constraints)
        ]
        if not any(selector.items() <= labels.items() for selector in selectors):
            problems.append("has several pods and no PodDisruptionBudget")
        for problem in problems:
            yield Violation(rule="available", object=object_name(manifest), problem=problem)


def _leaked(manifests: Iterable[Manifest]) -> Iterator[Violation]:
    """The values of the stack's Secrets are in no other object. Short values are skipped: they occur by chance."""
    secrets = [item for item in manifests if item["kind"] == "Secret"]
    values = {
        key: value
        for secret in secrets
        for key, text in secret.get("stringData", {}).items()
        if len(value := text.strip()) >= 12 and not value.startswith("${")
    }
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            continue
        texts = list(_texts(manifest))
        for key, value in values.items():
            if any(value in text for text in texts):
                problem = f"holds the value of the secret {key}"
                yield Violation(rule="secrets by reference", object=object_name(manifest), problem=problem)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
