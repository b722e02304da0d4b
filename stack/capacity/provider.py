"""What a provider asks, and how large its pods and volumes are: a file of the user."""

from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import Field, ValidationError

from contracts.errors import UserError
from contracts.section import Quantity, Section

Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Prices(Section):
    """Prices of a month, in one currency."""

    currency: Annotated[str, Field(pattern=r"^[\p{L}\p{Sc}.]{1,5}$", examples=["EUR", "€"])]
    core: Price
    """Of a reserved core."""
    memory_gib: Price
    """Of a reserved GiB of memory."""
    volume_gib: Price
    """Of a GiB of a persistent volume."""
    object_storage_gib: Price
    """Of a GiB in a bucket, without requests and traffic."""


class Limits(Section):
    """The largest pod and volume. The defaults: half of a node of 16 cores and 64 GiB; a gp3 volume of AWS."""

    pod_cores: Annotated[int, Field(ge=1, le=1000)] = 8
    """Cores of the largest pod."""
    pod_memory: Quantity = "32Gi"
    """Memory of the largest pod."""
    volume: Quantity = "16Ti"
    """Size of the largest volume."""
    volume_mebibytes_per_second: Annotated[int, Field(ge=1, le=100_000)] = 125
    """MiB/s that a volume takes."""


class Provider(Section):
    """Prices and limits."""

    prices: Prices | None = None
    """If unset, no money is shown."""
    limits: Limits = Limits()


DEFAULT: Final = Provider()


def load_provider(file: Path | None) -> Provider:
    """Return the prices and limits in a file; without one, there are no prices.

    Raises:
        UserError: the file cannot be read, or has a key or value that is not known.
    """
    if file is None:
        return DEFAULT
    try:
        content = yaml.safe_load(file.read_text()) or {}
    # ValueError and RecursionError come from PyYAML too: for a number that is none, and for lists inside each other.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{file}: the prices cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: these prices cannot be used: the file has no key `prices` or `limits`")
    try:
        return Provider.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise UserError(f"{file}: these prices cannot be used: {places}") from None
