"""What clients verify the stack's servers with, as a ConfigMap."""

from dataclasses import dataclass

import pulumi

from contracts.metadata import AUTHORITY, AUTHORITY_FILE, ISSUER, OWN_AUTHORITY_FILE, TRUST
from stack.components.encryption.issuers import Issuers
from stack.components.encryption.noted_steps import step_annotations, trust_mark
from stack.components.encryption.settings import Encryption
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
    trust: pulumi.Output[str]
    """Changes with who signs, and with what clients trust."""

    def __init__(self, name: str, args: StackAuthorityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("web-crawl-tracing:index:StackAuthority", name, None, opts)
        servers, callers = args.issuers.servers, args.issuers.callers
        further = args.settings.trusted_authorities or ""
        self.certificate = servers.authority.apply(lambda authority: _together(authority, further))
        self.trust = trust_mark(servers.title, self.certificate, callers.authority)
        child = pulumi.ResourceOptions(parent=self)
        config_map(
            AUTHORITY,
            "encryption",
            args.namespace,
            {AUTHORITY_FILE: self.certificate, OWN_AUTHORITY_FILE: callers.authority},
            child,
            annotations={ISSUER: servers.title, TRUST: self.trust, **step_annotations(args.settings)},
        )
        self.register_outputs({"certificate": self.certificate, "trust": self.trust})


def _together(*authorities: str) -> str:
    """Return the certificates of authorities in one text."""
    return "".join(f"{authority.strip()}\n" for authority in authorities if authority.strip())
