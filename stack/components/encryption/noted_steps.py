"""What each workload notes of the stack's encryption, for the next deployment to compare its settings with.

A deployment that fails has replaced some pods and not others. The ConfigMap of the authority tells what it wanted; the
workloads tell how far it came. The annotations are not those of the pods, so no pod is replaced for them.
"""

from typing import Any

import pulumi

from contracts.metadata import STEPPED, TRUST, encryption_step
from stack.components.encryption.settings import Encryption, setting_text
from stack.components.shared.object_meta import checksum
from stack.components.shared.workload import WORKLOAD_TYPES


def step_annotations(settings: Encryption) -> dict[str, str]:
    """Return the annotations with the value of each setting that changes step by step."""
    return {encryption_step(name): setting_text(getattr(settings, name)) for name in STEPPED}


def trust_mark(issuer: str, authority: pulumi.Output[str], own: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return a text that changes with who signs and with what clients trust; the order of certificates is none of it.

    Args:
        issuer: who signs the certificates of servers.
        authority: what clients trust, as PEM.
        own: the stack's own authority, as PEM.
    """
    blocks = authority.apply(lambda pem: sorted({block.strip() for block in pem.split("-----END CERTIFICATE-----")}))
    return checksum([issuer, blocks, own])


def noted_steps(settings: Encryption, trust: pulumi.Output[str] | None) -> pulumi.ResourceTransformation:
    """Return what annotates all workloads.

    Args:
        settings: of the encryption.
        trust: the result of `trust_mark`; None if no connection is encrypted.
    """

    def annotate(args: pulumi.ResourceTransformationArgs) -> None:
        if args.type_ in WORKLOAD_TYPES:
            metadata: Any = args.props["metadata"]
            noted = {**step_annotations(settings), **({TRUST: trust} if trust is not None else {})}
            metadata.annotations = {**metadata.annotations, **noted}

    return annotate
