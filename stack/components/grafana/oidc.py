"""Signing in to Grafana with an identity provider, as variables of its generic OAuth client."""

from collections.abc import Iterator, Sequence

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.grafana.settings import Oidc
from stack.components.shared.environment import secret_variable, variables


def oidc_variables(settings: Oidc, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables of Grafana's container."""
    return [
        *variables(
            GF_AUTH_GENERIC_OAUTH_ENABLED=True,
            GF_AUTH_GENERIC_OAUTH_NAME=settings.name,
            GF_AUTH_GENERIC_OAUTH_CLIENT_ID=settings.client_id,
            GF_AUTH_GENERIC_OAUTH_AUTH_URL=settings.auth_url,
            GF_AUTH_GENERIC_OAUTH_TOKEN_URL=settings.token_url,
            GF_AUTH_GENERIC_OAUTH_API_URL=settings.api_url,
            GF_AUTH_GENERIC_OAUTH_SCOPES=" ".join(settings.scopes),
            GF_AUTH_GENERIC_OAUTH_USE_PKCE=True,
            GF_AUTH_GENERIC_OAUTH_LOGIN_ATTRIBUTE_PATH="sub",
            GF_AUTH_GENERIC_OAUTH_EMAIL_ATTRIBUTE_PATH="email",
            GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_PATH=role_path(settings),
            # A user for whom the path has no role is refused.
            GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_STRICT=True,
            GF_AUTH_GENERIC_OAUTH_ALLOW_ASSIGN_GRAFANA_ADMIN=False,
            GF_AUTH_GENERIC_OAUTH_ALLOWED_DOMAINS=" ".join(settings.allowed_domains),
            **({"GF_AUTH_GENERIC_OAUTH_SIGNOUT_REDIRECT_URL": settings.sign_out_url} if settings.sign_out_url else {}),
        ),
        secret_variable("GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET", secret_keys.GRAFANA_OIDC_CLIENT_SECRET, secret),
    ]


def role_path(settings: Oidc) -> str:
    """Return the JMESPath expression that finds the role of a user in the claims; it has no role for others.

    >>> role_path(Oidc(client_id="c", auth_url="https://i/a", token_url="https://i/t", api_url="https://i/u",
    ...     admins=("sre",)))
    "contains(groups || `[]`, 'sre') && 'Admin' || 'Viewer'"
    """
    conditions = list(_conditions(settings))
    return " || ".join(conditions if settings.viewers else [*conditions, "'Viewer'"])


def _conditions(settings: Oidc) -> Iterator[str]:
    roles: Sequence[tuple[str, Sequence[str]]] = (
        ("Admin", settings.admins),
        ("Editor", settings.editors),
        ("Viewer", settings.viewers),
    )
    for role, groups in roles:
        for group in groups:
            yield f"contains({settings.groups_claim} || `[]`, '{group}') && '{role}'"
