"""The base of all settings sections, and the types of their values."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_BINARY = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity_bytes(quantity: str) -> int:
    """Bytes of a Kubernetes memory or storage quantity such as `512Mi`."""
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti|)", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi or 10Gi")
    return int(match[1]) * _BINARY[match[2]]


def duration_hours(duration: str) -> int:
    """Hours of a retention such as `336h`; hours are the one unit that Tempo, Loki and Prometheus all read alike."""
    match = re.fullmatch(r"([1-9]\d*)h", duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration in hours such as 336h")
    return int(match[1])


def _quantity(text: str) -> str:
    """The quantity as the API server writes it: Pulumi sees a change in `1024Mi` for `1Gi`, and replaces a StatefulSet
    whose volumes are declared so."""
    size = quantity_bytes(text)
    if size < 2**20:
        unit = f"; write it with a unit, such as {text}Gi" if text.isdecimal() else ""
        raise ValueError(f"{text!r} is less than 1Mi{unit}")
    unit = max((unit for unit, factor in _BINARY.items() if size % factor == 0), key=_BINARY.__getitem__)
    return f"{size // _BINARY[unit]}{unit}"


def _cpu(text: str) -> str:
    """As the API server writes it: `2` for `2000m`."""
    return text.removesuffix("000m") if text.endswith("000m") else text


def _retention(text: str) -> str:
    if not 24 <= duration_hours(text) <= 24 * 3660:
        # Loki's index is cut by the day, and its compactor deletes nothing at all below that.
        raise ValueError(f"{text!r} is not between 24h and {24 * 3660}h (ten years)")
    return text


Quantity = Annotated[str, AfterValidator(_quantity), Field(examples=["512Mi", "10Gi"])]
Retention = Annotated[str, AfterValidator(_retention), Field(examples=["48h", "336h"])]
Cpu = Annotated[str, Field(pattern=r"^([1-9]\d*m|[1-9]\d*)$", examples=["100m", "2"]), AfterValidator(_cpu)]
ImageReference = Annotated[
    str, Field(pattern=r"^[^\s:]+(:\d+)?(/[^\s:]+)*(:[\w][\w.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$")
]
MailAddress = Annotated[str, Field(pattern=r"^[^\s@,;<>\"{}]+@[A-Za-z0-9.-]+$", examples=["oncall@example.com"])]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]


class Section(BaseModel):
    """What all sections share: unknown keys are refused, nothing is coerced, nothing changes after load."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )
