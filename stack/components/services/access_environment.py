"""The variables by which the gateway knows its callers, and the task-manager the gateway."""

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.services.access import Access, AccessKey
from stack.components.shared.environment import secret_variable, variables

core = k8s.core.v1


def gateway_variables(access: Access, secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
    """Return those of the gateway."""
    provider = access.identity_provider
    return [
        *variables(
            ACCESS_CONTROL=True,
            ACCESS_REQUESTS_PER_MINUTE=access.limits.requests_per_minute,
            ACCESS_BURST=access.limits.burst,
            ACCESS_CONCURRENT_REQUESTS=access.limits.concurrent_requests,
        ),
        *(variables(ACCESS_API_KEYS=",".join(map(_entry, access.keys))) if access.keys else []),
        *(
            variables(
                ACCESS_ISSUER=provider.issuer,
                ACCESS_AUDIENCE=provider.audience,
                ACCESS_JWKS_URL=provider.keys_url,
                ACCESS_ROLES_CLAIM=provider.roles_claim,
            )
            if provider
            else []
        ),
        secret_variable("STACK_KEY", secret_keys.STACK_KEY, secret),
        secret_variable("STACK_KEY_OTHER", secret_keys.STACK_KEY_OTHER, secret),
        secret_variable("SERVICE_TOKEN", secret_keys.SERVICE_TOKEN, secret),
    ]


def task_manager_variables(secret: pulumi.Input[str]) -> list[core.EnvVarArgs]:
    """Return those of the task-manager."""
    return [
        *variables(ACCESS_CONTROL=True),
        secret_variable("SERVICE_TOKEN", secret_keys.SERVICE_TOKEN, secret),
        secret_variable("SERVICE_TOKEN_OTHER", secret_keys.SERVICE_TOKEN_OTHER, secret),
    ]


def _entry(key: AccessKey) -> str:
    return f"{key.name}:{key.role}:{key.hash}"
