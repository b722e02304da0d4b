"""Settings of access to the gateway."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from contracts.access import STACK_CALLER
from lean_tracing.environment import EnvironmentSettings
from lean_tracing.values import check_http_url
from service.gateway.access.keys import ApiKey


def _api_keys(value: object) -> object:
    return tuple(map(ApiKey.parse, value.split(","))) if isinstance(value, str) else value


class AccessSettings(EnvironmentSettings):
    """Who may call the gateway, and how often."""

    access_control: bool = Field(
        False, alias="ACCESS_CONTROL", description="true or false: whether callers need an API key or a token"
    )
    api_keys: Annotated[tuple[ApiKey, ...], BeforeValidator(_api_keys)] = Field(
        (), alias="ACCESS_API_KEYS", description="name:role:hash of each API key, comma-separated"
    )
    stack_key: SecretStr | None = Field(
        None, alias="STACK_KEY", description="the API key of the stack's own programs, in clear"
    )
    stack_key_other: SecretStr | None = Field(
        None, alias="STACK_KEY_OTHER", description="a second one, during a rotation"
    )
    service_token: SecretStr | None = Field(
        None, alias="SERVICE_TOKEN", description="the token by which the task-manager knows the gateway"
    )
    issuer: str | None = Field(
        None, alias="ACCESS_ISSUER", description="claim `iss` of the tokens of an identity provider"
    )
    audience: str | None = Field(None, alias="ACCESS_AUDIENCE", description="claim `aud` of tokens for the gateway")
    keys_url: Annotated[str, AfterValidator(check_http_url)] | None = Field(
        None, alias="ACCESS_JWKS_URL", description="an http or https URL, of the identity provider's keys"
    )
    roles_claim: str = Field(
        "roles",
        alias="ACCESS_ROLES_CLAIM",
        min_length=1,
        description="claim with the caller's roles; dots lead into nested claims",
    )
    requests_per_minute: int = Field(
        600,
        alias="ACCESS_REQUESTS_PER_MINUTE",
        ge=1,
        le=1_000_000,
        description="requests of a caller that this process admits, 1 to 1000000",
    )
    burst: int = Field(100, alias="ACCESS_BURST", ge=1, le=100_000, description="requests after a pause, 1 to 100000")
    concurrent_requests: int = Field(
        20, alias="ACCESS_CONCURRENT_REQUESTS", ge=1, le=10_000, description="requests in progress, 1 to 10000"
    )

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if not self.access_control:
            return self
        if not self.service_token:
            raise ValueError("ACCESS_CONTROL=true needs SERVICE_TOKEN")
        if not (self.api_keys or self.stack_key or self.issuer):
            raise ValueError("ACCESS_CONTROL=true needs ACCESS_API_KEYS, STACK_KEY or ACCESS_ISSUER")
        if len({bool(self.issuer), bool(self.audience), bool(self.keys_url)}) > 1:
            raise ValueError("ACCESS_ISSUER, ACCESS_AUDIENCE and ACCESS_JWKS_URL belong together")
        if any(key.name == STACK_CALLER for key in self.api_keys):
            raise ValueError(f"the name {STACK_CALLER} belongs to STACK_KEY")
        return self
