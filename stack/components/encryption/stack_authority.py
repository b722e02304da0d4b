"""What clients verify the stack's servers with, as a ConfigMap."""

from dataclasses import dataclass

import pulumi

from contracts.metadata import AUTHORITY, AUTHORITY_FILE, ISSUER, STEPPED, encryption_step
from stack.components.encryption.server import Issuer
from stack.components.encryption.settings import Encryption, setting_text
from stack.components.shared.object_meta import config_map


@dataclass(frozen=True, kw_only=True)
class StackAuthorityArgs:
    namespace: pulumi.Input[str]
    issuer: Issuer
    """Of the servers' certificates."""
    settings: Encryption


class StackAuthority(pulumi.ComponentResource):
    """The certificates with which clients verify servers, as a ConfigMap.

    Its annotations are what the next deployment compares its settings with.
    """

    certificate: pulumi.Output[str]
    """PEM."""

    def __init__(self, name: str, args: StackAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:StackAuthority", name, None, opts)
        self.certificate = args.issuer.authority
        child = pulumi.ResourceOptions(parent=self)
        config_map(
            AUTHORITY,
            "encryption",
            args.namespace,
            {AUTHORITY_FILE: self.certificate},
            child,
            annotations={
                ISSUER: args.issuer.title,
                **{encryption_step(name): setting_text(getattr(args.settings, name)) for name in STEPPED},
            },
        )
        self.register_outputs({"certificate": self.certificate})
