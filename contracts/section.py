"""The base class of all settings sections, and the types of their values.

A section lives next to what it configures. This module imports no Pulumi, so that settings load quickly.
"""

import re
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)
from pydantic.alias_generators import to_camel

_UNIT_BYTES: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LARGEST_BYTES: Final = 2**50
"""No volume and no node is larger; Kubernetes silently limits a number that does not fit into 64 bits."""
_SHORTEST_RETENTION_HOURS: Final = 24
"""Loki's index has one table a day, and its compactor deletes nothing if the retention is shorter than that."""
_LONGEST_RETENTION_HOURS: Final = 24 * 3660
_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?")


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, and nothing changes after loading.

    No value is converted, with one exception: `pulumi config set --path` stores `0.5` as a text and `2` as a number,
    because it does not know the type. So a number may be written as a text, and a text of digits as a number.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="wrap")
    @classmethod
    def _accept_the_form_that_pulumi_stores(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(value)
        except ValidationError:
            other_form = _other_form(value)
            if other_form is None:
                raise
            try:
                return validate(other_form)
            except ValidationError:
                pass
            raise  # the message names the value as it is written


def _other_form(value: Any) -> int | float | str | None:
    """Return the number in a text, or the text of a whole number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return str(value) if type(value) is int else None


def quantity_bytes(quantity: str) -> int:
    """Return the bytes of a Kubernetes memory or storage quantity such as `512Mi`.

    Raises:
        ValueError: the text is no such quantity.
    """
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti|)", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi or 10Gi")
    return int(match[1]) * _UNIT_BYTES[match[2]]


def duration_hours(duration: str) -> int:
    """Return the hours of a duration such as `336h`, the one unit that Tempo, Loki and Prometheus all understand.

    Raises:
        ValueError: the text is no such duration.
    """
    match = re.fullmatch(r"([1-9]\d*)h", duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration in hours such as 336h")
    return int(match[1])


def _canonical_quantity(text: str) -> str:
    """Return the quantity as the API server writes it: `1Gi` for `1024Mi`.

    Pulumi compares texts. It would replace a StatefulSet whose volumes differ from the cluster's in the notation alone.
    """
    size = quantity_bytes(text)
    if size < 2**20:
        unit = f"; write it with a unit, such as {text}Gi" if text.isdecimal() else ""
        raise ValueError(f"{text!r} is less than 1Mi{unit}")
    if size > _LARGEST_BYTES:
        raise ValueError(f"{text!r} is more than {_LARGEST_BYTES // 2**40}Ti")
    unit = max((unit for unit, factor in _UNIT_BYTES.items() if size % factor == 0), key=_UNIT_BYTES.__getitem__)
    return f"{size // _UNIT_BYTES[unit]}{unit}"


def _canonical_cpu(text: str) -> str:
    """Return the CPU quantity as the API server writes it: `2` for `2000m`."""
    return text.removesuffix("000m") if text.endswith("000m") else text


def _check_retention(text: str) -> str:
    if not _SHORTEST_RETENTION_HOURS <= duration_hours(text) <= _LONGEST_RETENTION_HOURS:
        raise ValueError(
            f"{text!r} is not between {_SHORTEST_RETENTION_HOURS}h and {_LONGEST_RETENTION_HOURS}h (ten years)"
        )
    return text


FromList: Final = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""Makes a tuple of a list: YAML and JSON have lists, frozen sections have tuples."""

Quantity = Annotated[str, AfterValidator(_canonical_quantity), Field(examples=["512Mi", "10Gi"])]
"""Kubernetes quantity of memory or storage."""
Cpu = Annotated[
    str, Field(pattern=r"^([1-9]\d{0,6}m|[1-9]\d{0,3})$", examples=["100m", "2"]), AfterValidator(_canonical_cpu)
]
"""Kubernetes quantity of CPU."""
Retention = Annotated[str, AfterValidator(_check_retention), Field(examples=["48h", "336h"])]
ImageReference = Annotated[
    str,
    Field(
        pattern=r"^[^\s:]+(:\d+)?(/[^\s:]+)*(:[\w][\w.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$",
        examples=["registry.example.com/web-crawl-service:0.1.0"],
    ),
]
"""Image with a tag, a digest, or both."""
MailAddress = Annotated[str, Field(pattern=r"^[^\s@,;<>\"{}]+@[A-Za-z0-9.-]+$", examples=["oncall@example.com"])]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", examples=["tracing"])]
DnsName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=253,
        examples=["tasks.example.com"],
    ),
]
_Name = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9][-a-z0-9.]*/)?{_Name}$", examples=["example.com/team"])]
"""Name of a label or an annotation of Kubernetes."""
LabelValue = Annotated[str, Field(pattern=rf"^({_Name})?$", examples=["on-call"])]
"""Value of a label of Kubernetes."""
Labels = dict[LabelKey, LabelValue]
Annotations = dict[LabelKey, str]
