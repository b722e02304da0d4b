"""How clients reach an encrypted program: its URL, what they send and whom they trust."""

import dataclasses
from typing import TypeGuard

import pulumi

from collector.pipeline import OtlpTarget
from contracts import endpoints, secret_keys
from stack.components.encryption.protection import Protection
from stack.components.shared.store import QueryAccess, environment_name


def speaks_tls(protection: Protection | None) -> TypeGuard[Protection]:
    """Return whether clients connect with TLS."""
    return protection is not None and protection.step.speaks_tls


def query_access(protection: Protection | None) -> QueryAccess:
    """Return what clients of a store of the stack send and trust."""
    if not speaks_tls(protection):
        return QueryAccess()
    return QueryAccess(authorization=secret_keys.TELEMETRY_AUTHORIZATION, ca=protection.authority)


def base_url(host: str, port: int, protection: Protection | None) -> str:
    """Return the base URL of a program of the stack."""
    return endpoints.url(host, port, encrypted=speaks_tls(protection))


def trusted(protection: Protection | None) -> pulumi.Output[str] | None:
    """Return the authority that clients of a program trust, as PEM; None while they connect in clear."""
    return protection.authority if speaks_tls(protection) else None


def otlp_target(target: OtlpTarget, protection: Protection | None) -> pulumi.Output[OtlpTarget]:
    """Return where Collectors send OTLP, with what they send and trust."""
    if not speaks_tls(protection):
        return pulumi.Output.from_input(target)
    headers = {"Authorization": f"${{env:{environment_name(secret_keys.TELEMETRY_AUTHORIZATION)}}}"}
    return protection.authority.apply(
        lambda ca: dataclasses.replace(target, encrypted=True, ca=ca, headers={**target.headers, **headers})
    )


def otlp_secrets(protection: Protection | None) -> tuple[str, ...]:
    """Return the keys of the secrets in the headers of `otlp_target`."""
    return (secret_keys.TELEMETRY_AUTHORIZATION,) if speaks_tls(protection) else ()
