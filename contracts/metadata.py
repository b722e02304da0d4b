"""Keys of the labels and annotations that every object of the stack has, and the labels themselves."""

from typing import Any, Final, Literal

Manifest = dict[str, Any]
"""A Kubernetes object as JSON has it."""

PART_OF: Final = "web-crawl-tracing"
PROJECT: Final = PART_OF
"""Name of the Pulumi project: the prefix of its settings' keys."""
LOCAL_CONTEXT: Final = "local"
"""Kube context of the cluster that `make up` creates."""
FIELD_MANAGER: Final = PART_OF
"""Owner of the fields that either engine applies, so that one takes over from the other without a conflict."""
CHECKSUM: Final = f"{PART_OF}/config-checksum"
TRACK: Final = f"{PART_OF}/track"
"""Label of a service's pods: their track in a rollout."""
Track = Literal["stable", "baseline", "canary"]
"""`stable` and `baseline` pods run the stable version; `baseline` pods started together with those of the new version,
the `canary`."""
TEMPORARY_TRACKS: Final[tuple[Track, ...]] = ("baseline", "canary")
"""Those that have pods during a rollout alone."""
SECRETS_CHECKSUM: Final = f"{PART_OF}/secrets-checksum"
PROTECTED: Final = f"{PART_OF}/protect-data"
"""Annotation of a namespace whose data is not to be deleted by accident."""
STACK: Final = f"{PART_OF}/stack"
"""Annotation of a namespace: the stack that is in it. Another one would take its objects over, and remove them."""
SKIP_AWAIT: Final = {"pulumi.com/skipAwait": "true"}
"""Annotation of an object for which a deployment does not wait."""
AUTHORITY: Final = "stack-authority"
"""Name of the ConfigMap with what clients verify servers of the stack with."""
AUTHORITY_FILE: Final = "ca.crt"
"""Key of that ConfigMap: certificates, as PEM."""
OWN_AUTHORITY_FILE: Final = "own.crt"
"""Key of that ConfigMap: the certificate of the stack's own authority, which may sign none of the servers'."""
ISSUER: Final = f"{PART_OF}/issuer"
"""Annotation of that ConfigMap: who signs the certificates of servers."""
TRUST: Final = f"{PART_OF}/trust"
"""Annotation of that ConfigMap and of workloads: changes with who signs, and with what clients trust."""
STEPPED: Final = ("kafka", "telemetry", "services")
"""Settings of `encryption` that a running stack changes step by step."""
ISSUED: Final = {"app.kubernetes.io/managed-by": "cert-manager"}
"""Label of a Secret that cert-manager makes for the stack."""
ISSUED_FOR: Final = "cert-manager.io/certificate-name"
"""Annotation of such a Secret: the name of its `Certificate`."""
PUBLIC: Final = f"{PART_OF}/public"
"""Annotation of a Service that is reached from outside of the cluster on purpose; its value says why."""


def encryption_step(setting: str) -> str:
    """Annotation of the ConfigMap `AUTHORITY` and of workloads: the value of a setting of `STEPPED`.

    The next deployment reads it.
    """
    return f"{PART_OF}/encryption.{setting}"


def selector(name: str) -> dict[str, str]:
    """Labels that select the pods of one workload; immutable once deployed."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": PART_OF}


def labels(name: str, component: str) -> dict[str, str]:
    """Labels of an object: Kubernetes' recommended ones."""
    return {**selector(name), "app.kubernetes.io/component": component, "app.kubernetes.io/managed-by": "pulumi"}
