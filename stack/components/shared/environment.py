"""Environment variables of containers."""

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from contracts.section import quantity_bytes
from stack.components.shared.settings import Size

core = k8s.core.v1


def variables(**values: str | int | float | bool) -> list[core.EnvVarArgs]:
    """Return variables with plain values; booleans become true or false."""
    return [
        core.EnvVarArgs(name=name, value=str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
    ]


def field_variable(name: str, path: str) -> core.EnvVarArgs:
    """Return a variable with a field of the pod, such as `metadata.name`."""
    return core.EnvVarArgs(
        name=name, value_from=core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path=path))
    )


def secret_variable(name: str, key: str, secret: pulumi.Input[str]) -> core.EnvVarArgs:
    """Return a variable with one secret, by reference; it is unset if the secret is optional and missing."""
    optional = True if key in secret_keys.OPTIONAL else None
    reference = core.SecretKeySelectorArgs(name=secret, key=key, optional=optional)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(secret_key_ref=reference))


def go_memory_limit(size: Size) -> list[core.EnvVarArgs]:
    """Return the variable that makes Go's garbage collector work harder before the kernel kills the program."""
    return variables(GOMEMLIMIT=f"{quantity_bytes(size.memory) * 8 // 10 // 2**20}MiB")
