"""Larger volumes: which claims have to grow, and why the cluster would not enlarge them.

Kubernetes can enlarge a claim, and never changes the claim templates of a StatefulSet. So a StatefulSet whose only
refused change is a larger volume is a `Growth`; `volume_resize.py` carries it out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
from kubernetes.client import ApiException
from kubernetes.utils import parse_quantity

from contracts.metadata import FIELD_MANAGER, Manifest
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.failures import api_message
from stack.kubernetes.fields import Change
from stack.kubernetes.keys import object_name

_STORAGE: Final = ("resources", "requests", "storage")
_TEMPLATES: Final = ("spec", "volumeClaimTemplates")
SETTINGS: Final[dict[str, str]] = {
    "alertmanager": "alerting.volume",
    "collector": "collector.queueVolume",
    "grafana": "grafana.volume",
    "jaeger": "traces.volume",
    "kafka": "kafka.volume",
    "loki": "logs.volume",
    "postgres": "postgres.volume",
    "prometheus": "metrics.volume",
    "sampler": "collector.sampling.queueVolume",
    "tempo": "traces.volume",
    "tempo-block-builder": "traces.distributed.volume",
    "tempo-live-store": "traces.distributed.volume",
}
"""The setting that gives the volumes of a StatefulSet their size."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A StatefulSet whose volumes become larger."""

    live: Manifest
    """The StatefulSet in the cluster."""
    sizes: dict[str, str]
    """The declared size of each claim template, by the template's name."""

    @property
    def workload(self) -> str:
        return object_name(self.live)


@dataclass(frozen=True, kw_only=True)
class SmallClaim:
    """A claim that has to grow."""

    name: str
    size: str
    declared_size: str


def find_growth(live: Manifest, manifest: Manifest, refused: Sequence[Change]) -> Growth | None:
    """The growth that a manifest declares; None if the API server refuses any other change in it."""
    if manifest["kind"] != "StatefulSet":
        return None
    for change in refused:
        is_size = change.path[:2] == _TEMPLATES and change.path[-3:] == _STORAGE
        if not is_size or not is_larger(change.declared, change.live):
            return None
    sizes = {
        template["metadata"]["name"]: str(template["spec"]["resources"]["requests"]["storage"])
        for template in manifest["spec"]["volumeClaimTemplates"]
    }
    return Growth(live=live, sizes=sizes)


def with_live_templates(live: Manifest, manifest: Manifest) -> Manifest:
    """A manifest with the claim templates that the StatefulSet has in the cluster."""
    return {
        **manifest,
        "spec": {**manifest["spec"], "volumeClaimTemplates": live["spec"]["volumeClaimTemplates"]},
    }


def is_larger(size: Any, other: Any) -> bool:
    return bool(parse_quantity(size) > parse_quantity(other))


def template_advice(manifest: Manifest, change: Change) -> str | None:
    """Return the remedy for a refused change of a claim template; None if the change is in another field."""
    settings = {"storage": SETTINGS.get(manifest["metadata"]["name"]), "storageClassName": "cluster.storageClass"}
    if change.path[:2] != _TEMPLATES or change.path[-1] not in settings:
        return None
    field = ".".join(change.path[3:])
    setting = settings[change.path[-1]]
    source = f" (setting {setting})" if setting else ""
    if change.path[-3:] == _STORAGE and not is_larger(change.declared, change.live):
        reason = "a volume cannot be made smaller"
    else:
        reason = "Kubernetes does not change it for existing volumes"
    return (
        f"{object_name(manifest)}: {field} of its volumes is {change.live} and would be {change.declared}{source}: "
        f"{reason}. Set it back to {change.live}, or move the data: "
        'see "Volumes" in stack/README.md'
    )


def list_claims(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> Iterator[tuple[Any, str]]:
    """The claims of the StatefulSet's pods, of removed pods too, each with the size that its template declares."""
    workload = re.escape(growth.live["metadata"]["name"])
    core = kubernetes.client.CoreV1Api(client)
    for claim in core.list_namespaced_persistent_volume_claim(namespace, _request_timeout=REQUEST_SECONDS).items:
        for template, size in growth.sizes.items():
            if re.fullmatch(rf"{re.escape(template)}-{workload}-\d+", claim.metadata.name):
                yield claim, size


def small_claims(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> list[SmallClaim]:
    """The claims that have to grow. A claim that is larger than declared, enlarged by hand perhaps, stays as it is."""
    return [
        SmallClaim(name=claim.metadata.name, size=size, declared_size=declared_size)
        for claim, declared_size in list_claims(client, namespace, growth)
        if is_larger(declared_size, size := claim.spec.resources.requests["storage"])
    ]


def resize_claim(
    client: kubernetes.client.ApiClient, namespace: str, claim: SmallClaim, *, dry_run: bool = False
) -> None:
    kubernetes.client.CoreV1Api(client).patch_namespaced_persistent_volume_claim(
        claim.name,
        namespace,
        {"spec": {"resources": {"requests": {"storage": claim.declared_size}}}},
        field_manager=FIELD_MANAGER,
        _request_timeout=REQUEST_SECONDS,
        **({"dry_run": "All"} if dry_run else {}),
    )


def resize_problem(client: kubernetes.client.ApiClient, namespace: str, growth: Growth) -> str | None:
    """Why the API server refuses to enlarge a claim, in a dry run; None if it accepts all of them."""
    setting = SETTINGS.get(growth.live["metadata"]["name"])
    source = f" (setting {setting})" if setting else ""
    for claim in small_claims(client, namespace, growth):
        try:
            resize_claim(client, namespace, claim, dry_run=True)
        except ApiException as error:
            return (
                f"{growth.workload}: persistentvolumeclaim/{claim.name} has {claim.size} and would get "
                f"{claim.declared_size}{source}, which the cluster refuses: {api_message(error)}. Set it back to "
                f"{claim.size}; or use a StorageClass with `allowVolumeExpansion: true`, or move the data to new "
                'volumes: see "Volumes" in stack/README.md'
            )
    return None
