"""Metadata of Kubernetes objects, ConfigMaps, and the checksum that replaces pods with an outdated configuration."""

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
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> k8s.meta.v1.ObjectMetaArgs:
    """Return metadata with a fixed name: other objects, dashboards and people refer to it."""
    return k8s.meta.v1.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels={**labels(name, component), **(extra_labels or {})},
        annotations={"pulumi.com/patchFieldManager": FIELD_MANAGER, **(annotations or {})},
    )


def config_map(
    name: str,
    component: str,
    namespace: pulumi.Input[str],
    files: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    *,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
    extra_labels: Mapping[str, str] | None = None,
) -> k8s.core.v1.ConfigMap:
    """Create a ConfigMap of files, by their names."""
    metadata = object_meta(name, namespace, component=component, annotations=annotations, extra_labels=extra_labels)
    return k8s.core.v1.ConfigMap(name, metadata=metadata, data=dict(files), opts=opts)


def checksum(content: pulumi.Input[Any]) -> pulumi.Output[str]:
    """Return a short hash of a pod's configuration. As an annotation, it replaces the pods when it changes."""

    def digest(value: object) -> str:
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

    return pulumi.Output.from_input(content).apply(digest)
