"""What clients verify the stack's servers with, as a ConfigMap."""

from dataclasses import dataclass

import pulumi

from contracts.metadata import AUTHORITY, AUTHORITY_FILE, ISSUER, OWN_AUTHORITY_FILE, STEPPED, encryption_step
from stack.components.encryption.issuers import Issuers
from stack.components.encryption.settings import Encryption, setting_text
from stack.components.shared.object_meta import config_map


@dataclass(frozen=True, kw_only=True)
class StackAuthorityArgs:
    namespace: pulumi.Input[str]
    issuers: Issuers
    settings: Encryption
    """Also has the further authorities that clients trust."""


class StackAuthority(pulumi.ComponentResource):
    """The certificates with which clients verify servers, as a ConfigMap.

    Its annotations are what the next deployment compares its settings with.
    """

    certificate: pulumi.Output[str]
    """PEM."""

    def __init__(self, name: str, args: StackAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:StackAuthority", name, None, opts)
        further = args.settings.trusted_authorities or ""
        self.certificate = args.issuers.servers.authority.apply(lambda authority: _together(authority, further))
        child = pulumi.ResourceOptions(parent=self)
        config_map(
            AUTHORITY,
            "encryption",
            args.namespace,
            {AUTHORITY_FILE: self.certificate, OWN_AUTHORITY_FILE: args.issuers.callers.authority},
            child,
            annotations={
                ISSUER: args.issuers.servers.title,
                **{encryption_step(name): setting_text(getattr(args.settings, name)) for name in STEPPED},
            },
        )
        self.register_outputs({"certificate": self.certificate})


def _together(*authorities: str) -> str:
    """Return the certificates of authorities in one text."""
    return "".join(f"{authority.strip()}\n" for authority in authorities if authority.strip())
