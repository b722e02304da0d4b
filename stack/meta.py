"""Names, labels and object metadata: the same on everything the program makes."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

Manifest = dict[str, Any]
"""A Kubernetes object as JSON has it."""

PART_OF: Final = "web-crawl-tracing"
FIELD_MANAGER: Final = PART_OF
"""Owner of the fields that either engine applies, so that one takes over from the other without a conflict."""
CHECKSUM: Final = f"{PART_OF}/config-checksum"
TRACK: Final = f"{PART_OF}/track"
"""Label of a service's pods: which of the versions that run side by side they are, `baseline` or `canary`."""
SECRETS_CHECKSUM: Final = f"{PART_OF}/secrets-checksum"
PROTECTED: Final = f"{PART_OF}/protect-data"
"""Annotation of a namespace whose data is not to be deleted by accident."""
STACK: Final = f"{PART_OF}/stack"
"""Annotation of a namespace: the stack that is in it. Another one would take its objects over, and remove them."""
PUBLIC: Final = f"{PART_OF}/public"
"""Annotation of a Service that is reached from outside of the cluster on purpose; its value says why."""


def selector(name: str) -> dict[str, str]:
    """Labels that select the pods of one workload; immutable once deployed."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": PART_OF}


def labels(name: str, component: str) -> dict[str, str]:
    """Labels of an object: Kubernetes' recommended ones."""
    return {**selector(name), "app.kubernetes.io/component": component, "app.kubernetes.io/managed-by": "pulumi"}


def metadata(
    name: str,
    namespace: pulumi.Input[str] | None,
    *,
    component: str,
    annotations: Mapping[str, str] | None = None,
    more_labels: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Metadata with a fixed name: other objects, dashboards and people refer to it."""
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels={**labels(name, component), **(more_labels or {})},
        annotations={"pulumi.com/patchFieldManager": FIELD_MANAGER, **(annotations or {})},
    )


def checksum(configuration: pulumi.Input[Any]) -> pulumi.Output[str]:
    """Short hash of a pod's configuration; as an annotation of the pod it makes a change roll the pods."""

    def digest(content: object) -> str:
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    return pulumi.Output.from_input(configuration).apply(digest)
