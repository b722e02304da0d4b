"""On the local stack: new values for its secrets lose no data and no request."""

import pytest
from rich.console import Console

from checks.rotation.command import rotate


@pytest.mark.nightly
def test_nothing_is_lost_while_secrets_get_new_values() -> None:
    """`make rotations`: the database password, and the token of the Collectors."""
    assert rotate(Console(width=140))
