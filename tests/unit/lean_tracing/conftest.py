"""The recorder of the library's own tests."""

import pytest

from lean_tracing.own_attributes import PREFIX


@pytest.fixture(scope="session")
def attribute_prefix() -> str:
    """The library's own."""
    return PREFIX
