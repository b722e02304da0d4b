"""Sizes of pods, as most sections of the settings have them."""

import re
import ssl
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from contracts.section import Cpu, Quantity, Section

_CONTROL_CHARACTER: Final = re.compile(r"[^\t\n\r -~]")


def _check_certificates(pem: str) -> str:
    if not pem.isascii():
        raise ValueError("it has characters that are not ASCII; copy the PEM file of the authority without comments")
    if _CONTROL_CHARACTER.search(pem):
        raise ValueError("it has control characters; copy the PEM file of the authority again")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except ssl.SSLError:
        raise ValueError("no certificate can be read from it; copy the whole PEM file of the authority") from None
    return pem


def own_names(pem: str) -> list[bool | None]:
    """Return for each certificate whether its authority has signed itself; None if it is none of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    authorities = [item["subject"] == item["issuer"] for item in context.get_ca_certs()]
    others = context.cert_store_stats()["x509"] - len(authorities)
    return [*authorities, *[None] * others]


Pem = Annotated[
    str,
    Field(
        pattern=r"^\s*-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\s*$",
        examples=["-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----"],
    ),
    AfterValidator(_check_certificates),
]
"""Certificates of authorities."""

_VARIABLE_CHARACTERS: Final = 48 * 1024
"""Linux starts no program with a variable of more than 128 KiB, and two settings may be part of one."""


def _check_fits_a_variable(pem: str) -> str:
    if len(pem) > _VARIABLE_CHARACTERS:
        raise ValueError(
            f"it has more than {_VARIABLE_CHARACTERS} characters, which no variable of a pod has room for; leave out "
            "authorities that sign nothing of this"
        )
    return pem


PemOfVariable = Annotated[Pem, AfterValidator(_check_fits_a_variable)]
"""Certificates of authorities that pods get in an environment variable."""


class Size(Section):
    """Size of a pod."""

    cpu: Cpu = "100m"
    """CPU that the scheduler reserves for each pod. It is no limit: throttling would appear as latency that no span
    explains."""
    memory: Quantity = "256Mi"
    """Memory of each pod: reserved, and the limit."""


class Workload(Size):
    """Number and size of some pods."""

    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    """Number of pods."""


class Stateful(Size):
    """Size of a pod with a persistent volume."""

    volume: Quantity = "5Gi"
    """Size of each pod's persistent volume."""
