"""The keys of the tracing library's own attributes, as the services' spans have them."""

from typing import Final

from contracts.span_attributes import PREFIX
from lean_tracing import OwnAttributes

OWN: Final = OwnAttributes.below(PREFIX)
