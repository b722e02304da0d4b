"""Values of Pulumi's outputs, without a program that Pulumi runs."""

import asyncio
from typing import Any

import pulumi


def value(output: pulumi.Input[Any]) -> Any:
    """Returns the value of an output that depends on no resource; any other value as it is."""
    if not isinstance(output, pulumi.Output):
        return output
    return asyncio.get_event_loop().run_until_complete(output.future())
