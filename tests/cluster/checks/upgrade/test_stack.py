"""On the local stack: an upgrade from the previous release, and a downgrade to it, lose no data."""

import pytest
from rich.console import Console

from checks.upgrade.change import change
from checks.upgrade.command import upgrade
from checks.upgrade.data import Stack, write
from checks.upgrade.release import PREVIOUS, checked_out, current, known
from stack.settings import load

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not known(PREVIOUS), reason=f"the history here has no release {PREVIOUS}"),
]


def test_nothing_is_lost_in_an_upgrade_from_the_previous_release() -> None:
    with checked_out(PREVIOUS) as previous:
        try:
            previous.deploy()
            made = change("to this one", current().deploy, write(Stack(load("local"))))
        except BaseException:
            current().deploy()
            raise
    assert made.is_lossless, made


def test_nothing_is_lost_in_upgrades_and_a_downgrade_and_few_requests_fail() -> None:
    assert upgrade(Console())
