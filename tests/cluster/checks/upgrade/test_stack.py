"""On the local stack: what was in the release before is in this one."""

import pytest

from checks.upgrade.change import change
from checks.upgrade.data import Stack, write
from checks.upgrade.release import PREVIOUS, checked_out, current, known
from stack.settings import load


@pytest.mark.skipif(not known(PREVIOUS), reason=f"the history here has no release {PREVIOUS}")
def test_nothing_is_lost_in_an_upgrade_from_the_release_before() -> None:
    with checked_out(PREVIOUS) as previous:
        try:
            previous.deploy()
            made = change("to this one", current().deploy, write(Stack(load("local"))))
        finally:
            current().deploy()
    assert made.is_lossless, made
