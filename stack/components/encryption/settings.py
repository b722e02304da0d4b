"""The section `encryption` of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from contracts import secret_keys
from contracts.section import DnsName, Section
from stack.components.shared.settings import PemOfVariable, own_names

EncryptionValue = bool | Literal["accepted", "preferred"]


@dataclass(frozen=True, kw_only=True)
class EncryptionStep:
    """How far a stack is on its way from connections in clear to TLS."""

    takes_plain: bool
    """Whether servers take connections in clear."""
    takes_tls: bool
    """Whether servers take connections with TLS."""
    speaks_tls: bool
    """Whether clients connect with TLS."""


STEPS: Final[Mapping[EncryptionValue, EncryptionStep]] = {
    False: EncryptionStep(takes_plain=True, takes_tls=False, speaks_tls=False),
    "accepted": EncryptionStep(takes_plain=True, takes_tls=True, speaks_tls=False),
    "preferred": EncryptionStep(takes_plain=True, takes_tls=True, speaks_tls=True),
    True: EncryptionStep(takes_plain=False, takes_tls=True, speaks_tls=True),
}
"""Value of a setting → step, in the order in which a running stack takes them.

In a rolling update, clients with one of two neighbouring values reach servers with either.
"""


def setting_text(value: EncryptionValue) -> str:
    """Return a value as the settings file has it."""
    return str(value).lower()


_GROUP: Final = "cert-manager.io"
_KINDS: Final = ("Issuer", "ClusterIssuer")


def _check_authorities(pem: str) -> str:
    """Return certificates that clients can trust."""
    authorities = own_names(pem)
    if None in authorities:
        raise ValueError("it has a certificate that is none of an authority; clients trust authorities alone")
    if True not in authorities:
        raise ValueError(
            "it has no certificate that is signed by itself: programs that are built with OpenSSL verify up to "
            "the root. Add that of the root"
        )
    return pem


_Authorities = Annotated[PemOfVariable, AfterValidator(_check_authorities)]


class ExternalIssuer(Section):
    """An issuer of cert-manager."""

    name: DnsName
    """Its name. It must sign names without a domain, such as `collector`, and `localhost`, for Kafka `127.0.0.1`."""
    kind: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")] = "ClusterIssuer"
    """`ClusterIssuer`, or `Issuer` of the stack's namespace; with `group`, a kind of that group."""
    group: DnsName = _GROUP
    """API group of its kind, for an issuer that is not part of cert-manager."""
    authority: _Authorities
    """Certificates of the authorities that clients trust, as PEM: the root of what the issuer signs, and while that
    changes, the old and the new one. Clients verify nothing against other authorities, public ones neither."""
    hours: Annotated[int, Field(ge=24, le=397 * 24)] = 90 * 24
    """Lifetime of a certificate to ask for; the issuer may give another one. cert-manager renews it when a third of it
    is left, and the servers read the new one without a restart."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.group == _GROUP and self.kind not in _KINDS:
            raise ValueError(f"kind: {_GROUP} has the kinds {' and '.join(_KINDS)}; for {self.kind}, set group")
        return self


class Encryption(Section):
    """TLS between the pods of the stack, with certificates of the stack's own authority or of cert-manager.

    A server that the stack did not build has its own settings, such as `kafka.external.encrypted`.

    A running stack gets to `kafka`, `telemetry` and `services` in three deployments, which lose nothing. With
    `accepted`, servers take TLS as well; with `preferred`, all of the stack's programs use it, and servers still take
    connections in clear; with `true` they refuse these.
    """

    postgres: bool = False
    """Whether the stack's own Postgres refuses connections without TLS. The task-manager verifies its name, and
    reads and writes rows only; the role that owns the tables migrates them before each start."""

    telemetry: EncryptionValue = False
    """Whether the Collectors, the stack's own stores and Alertmanager refuse connections without TLS, and requests
    without a token; so do the ports of telemetry that Prometheus scrapes. Pods of one Alertmanager, pods of one Loki,
    and parts of one Tempo know each other by certificates from `preferred` on."""
    kafka: EncryptionValue = False
    """Whether the stack's own Kafka refuses connections without TLS. Brokers know each other by certificates. Each
    program has a user with a password, and reaches its own topics alone; the pod `kafka-users` writes users and
    rights."""

    services: EncryptionValue = False
    """Whether the services, the probe, Grafana and the publisher of dashboards refuse connections without TLS: calls of
    the services to each other, what Prometheus scrapes, and an Ingress. What this must know is in stack/README.md."""

    issuer: ExternalIssuer | None = None
    """The issuer of cert-manager (1.15 or newer) that signs the certificates by which clients know servers; the stack's
    own authority if unset. That one signs certificates by which programs know their callers in any case: what an issuer
    signs for others in the cluster must not open the stack's ports."""

    trusted_authorities: _Authorities | None = None
    """Certificates of further authorities that clients trust, as PEM: of the issuer that signs next, or signed before.
    So `issuer` can be set, removed or exchanged while clients connect with TLS; docs/security.md has the order."""

    @field_validator("telemetry", "kafka", "services", mode="before")
    @classmethod
    def _check_step(cls, value: object) -> object:
        # One message in place of two, of which each names one of both types only.
        if not isinstance(value, bool) and value not in ("accepted", "preferred"):
            raise PydanticCustomError("literal_error", "Input should be false, accepted, preferred or true")
        return value

    @model_validator(mode="after")
    def _check_issuer_is_used(self) -> Self:
        unused = "issuer" if self.issuer else "trustedAuthorities" if self.trusted_authorities else None
        if unused and not self.enabled:
            raise ValueError(
                f"{unused} is not used: nothing is encrypted. Set postgres, telemetry, kafka or services as well"
            )
        return self

    @property
    def enabled(self) -> bool:
        """Whether connections are encrypted; the stack needs an authority of its own then."""
        return bool(self.postgres or self.telemetry or self.kafka or self.services)

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that TLS needs."""
        return (
            *((secret_keys.AUTHORITY_SEED,) if self.enabled else ()),
            *((secret_keys.POSTGRES_SERVICE_PASSWORD,) if self.postgres else ()),
            *((secret_keys.TELEMETRY_TOKEN,) if self.telemetry else ()),
            *(secret_keys.KAFKA_USER_PASSWORD.values() if self.kafka else ()),
        )
