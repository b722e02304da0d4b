"""Metadata of the objects that the components declare, and the checksum that rolls their pods."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from contracts.metadata import FIELD_MANAGER, labels


def object_meta(
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
