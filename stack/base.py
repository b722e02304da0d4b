"""What all components of a stack need: its namespace, its Secret, and the issuers of its certificates."""

from dataclasses import dataclass

import pulumi

from contracts import digests, secret_keys
from stack.components.cluster.namespace import Namespace, NamespaceArgs
from stack.components.cluster.pinned_images import pinned_images
from stack.components.cluster.pod_defaults import pod_defaults
from stack.components.cluster.provider import provider
from stack.components.encryption.issuers import Issuers, issuers_of
from stack.components.encryption.noted_steps import noted_steps
from stack.components.encryption.protection import Protection
from stack.components.encryption.settings import STEPS, EncryptionValue
from stack.components.encryption.stack_authority import StackAuthority, StackAuthorityArgs
from stack.components.secrets.component import Secrets, SecretsArgs, SecretValues
from stack.components.secrets.rotation import roll_with_secrets
from stack.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Base:
    """The inputs that all components need."""

    settings: Settings
    opts: pulumi.ResourceOptions
    namespace: pulumi.Output[str]
    secret: pulumi.Output[str]
    """Name of the stack's Secret."""
    secrets: SecretValues
    issuers: Issuers | None
    """Of certificates; None if no connection is encrypted."""
    authority: pulumi.Output[str] | None
    """What clients verify servers with, as PEM; None if no connection is encrypted."""

    @property
    def storage_class(self) -> str | None:
        return self.settings.cluster.storage_class

    @property
    def protection(self) -> Protection | None:
        """What encrypted telemetry needs; None if it is in clear."""
        return self._protection(self.settings.encryption.telemetry, needs_token=True)

    @property
    def service_protection(self) -> Protection | None:
        """What the services, Grafana and others need that know their callers themselves; None if they are in clear."""
        return self._protection(self.settings.encryption.services, needs_token=False)

    def _protection(self, value: EncryptionValue, *, needs_token: bool) -> Protection | None:
        if not value:
            return None
        assert self.issuers
        assert self.authority
        return Protection(
            namespace=self.settings.cluster.namespace,
            secret=self.secret,
            issuers=self.issuers,
            authority=self.authority,
            step=STEPS[value],
            needs_token=needs_token,
        )


def make_base(settings: Settings, secrets: SecretValues, opts: pulumi.ResourceOptions | None) -> Base:
    """Create what all components need: the namespace, the Secret, and the authority of certificates.

    Args:
        settings: of the stack.
        secrets: all of them.
        opts: of all resources; by default they have the provider of the context that the settings name.
    """
    cluster = settings.cluster
    opts = pulumi.ResourceOptions.merge(
        opts or pulumi.ResourceOptions(provider=provider(cluster)),
        pulumi.ResourceOptions(
            transformations=[
                pod_defaults(cluster, settings.placement),
                roll_with_secrets(secrets),
                *([pinned_images(digests.recorded())] if cluster.image_digests else []),
            ]
        ),
    )
    namespace_args = NamespaceArgs(
        name=cluster.namespace,
        stack=pulumi.get_stack(),
        environment=settings.environment,
        protect=cluster.protect_data,
    )
    namespace = Namespace("namespace", namespace_args, opts).name
    secrets_args = SecretsArgs(namespace=namespace, protect=cluster.protect_data, values=secrets)
    secret = Secrets("secrets", secrets_args, opts).name
    issuers = _issuers(settings, secrets)
    authority = _authority(settings, issuers, namespace, opts)
    noted = noted_steps(settings.encryption, authority.trust if authority else None)
    return Base(
        settings=settings,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[noted])),
        namespace=namespace,
        secret=secret,
        secrets=secrets,
        issuers=issuers,
        authority=authority.certificate if authority else None,
    )


def _issuers(settings: Settings, secrets: SecretValues) -> Issuers | None:
    if not settings.encryption.enabled:
        return None
    return issuers_of(settings.encryption, secrets[secret_keys.AUTHORITY_SEED])


def _authority(
    settings: Settings, issuers: Issuers | None, namespace: pulumi.Output[str], opts: pulumi.ResourceOptions
) -> StackAuthority | None:
    """Create the ConfigMap for clients, if there are servers with TLS."""
    if issuers is None:
        return None
    args = StackAuthorityArgs(namespace=namespace, issuers=issuers, settings=settings.encryption)
    return StackAuthority("stack-authority", args, opts)
