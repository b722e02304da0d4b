"""`make upgrades`: upgrades the local stack from the previous release, back, and again, with data and traffic."""

from rich.console import Console

from checks.upgrade.change import change, show
from checks.upgrade.data import Stack, write
from checks.upgrade.release import PREVIOUS, checked_out, current
from stack.settings import load


def upgrade(console: Console, previous: str = PREVIOUS) -> bool:
    """Upgrades the local stack from a previous release, back to it, and again; returns whether nothing was lost.

    Args:
        console: where the result is printed.
        previous: the commit of the previous release.

    Raises:
        UserError: a release cannot be deployed, or the stack cannot be reached.
    """
    changes = []
    with checked_out(previous) as release:
        console.print(f"deploying release {release.name}")
        release.deploy()
        try:
            data = write(Stack(load("local")))
            console.print(f"the stack has {data}")
            for target in (current(), release, current()):
                console.print(f"to release {target.name}, under traffic")
                changes.append(change(f"to {target.name}", target.deploy, data))
        finally:
            current().deploy()
    return show(f"Release {previous} and this one", changes, console)
