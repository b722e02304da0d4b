"""The section `access` of the settings."""

import hashlib
import secrets
from collections import defaultdict
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from contracts.access import HASH, NAME, STACK_CALLER, Role
from contracts.addresses import check_url
from contracts.section import FromList, Section


def new_key() -> tuple[str, str]:
    """Return a new API key of 256 random bits, and its hash."""
    key = f"wct_{secrets.token_urlsafe(32)}"
    return key, hashlib.sha256(key.encode()).hexdigest()


class AccessKey(Section):
    """An API key. `./wct access-key NAME` makes one, and prints this entry."""

    name: Annotated[str, Field(pattern=f"^{NAME}$", examples=["shop"])]
    """Name of the caller. The tasks that it submits belong to this name, so a new key with the same name reads them."""
    role: Annotated[Role, Field(strict=False)] = Role.USER
    """`user` reads its own tasks, `operator` all tasks without the e-mail addresses of others' tasks, `support` all."""
    hash: Annotated[str, Field(pattern=f"^{HASH}$")]
    """SHA-256 of the key in hexadecimal digits. The key itself is in no settings, and in no secret of the stack."""


class IdentityProvider(Section):
    """An identity provider that speaks OpenID Connect; its tokens are signed with RS256, ES256 or EdDSA."""

    issuer: Annotated[str, Field(pattern=r"^https?://\S+$", examples=["https://login.example.com/realms/main"])]
    """Claim `iss` of its tokens."""
    audience: Annotated[str, Field(min_length=1, max_length=255)]
    """Claim `aud` of tokens for this gateway."""
    keys_url: Annotated[str, Field(pattern=r"^https?://\S+$"), AfterValidator(check_url)]
    """URL of its public keys: `jwks_uri` in its `/.well-known/openid-configuration`. With `http://`, a program that can
    change what passes on the network could replace the keys, and so sign tokens."""
    roles_claim: Annotated[str, Field(pattern=r"^[\w:/-]+(\.[\w:/-]+)*$")] = "roles"
    """Claim with the caller's roles, `operator` or `support`; dots lead into nested claims."""


class Limits(Section):
    """Limits of each caller. Each pod of the gateway applies them for itself: three pods admit up to three times as
    much, and a caller whose connections lead to one pod is not refused too early. A body has at most 64 KiB."""

    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600
    """Requests that a caller may send for ever."""
    burst: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Requests that a caller may send at once after a pause."""
    concurrent_requests: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Requests of a caller that may be in progress."""


class Access(Section):
    """Who may call the gateway. The stack's own programs have the secret `stackKey`."""

    enabled: bool | None = None
    """By default on, except in the environment `local`. If off, every program that reaches the gateway submits tasks
    and reads all."""
    keys: Annotated[tuple[AccessKey, ...], FromList] = ()
    """API keys of the callers. Two keys of one name are a rotation: both count."""
    identity_provider: IdentityProvider | None = None
    """If set, its tokens count as well."""
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        roles: dict[str, set[Role]] = defaultdict(set)
        for key in self.keys:
            roles[key.name].add(key.role)
        if STACK_CALLER in roles:
            raise ValueError(f"keys: the name {STACK_CALLER!r} belongs to the stack's own programs")
        for name, several in roles.items():
            if len(several) > 1:
                raise ValueError(f"keys: {name!r} has two roles: {' and '.join(sorted(several))}")
        return self
