"""What clients verify the stack's servers with, as a ConfigMap."""

from dataclasses import dataclass

import pulumi

from contracts.metadata import AUTHORITY, AUTHORITY_FILE
from stack.components.encryption.server import Issuer
from stack.components.shared.object_meta import config_map


@dataclass(frozen=True, kw_only=True)
class StackAuthorityArgs:
    namespace: pulumi.Input[str]
    issuer: Issuer
    """Of the servers' certificates."""


class StackAuthority(pulumi.ComponentResource):
    """The certificate with which clients verify the programs behind a proxy, as a ConfigMap."""

    certificate: pulumi.Output[str]
    """PEM."""

    def __init__(self, name: str, args: StackAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:StackAuthority", name, None, opts)
        self.certificate = args.issuer.authority
        child = pulumi.ResourceOptions(parent=self)
        config_map(AUTHORITY, "encryption", args.namespace, {AUTHORITY_FILE: self.certificate}, child)
        self.register_outputs({"certificate": self.certificate})
