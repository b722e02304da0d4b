"""`make upgrades`: the local stack from the release before to this one, back, and on again, with data and traffic."""

import argparse
import sys

from rich.console import Console

from checks.upgrade.change import change, show
from checks.upgrade.data import Stack, write
from checks.upgrade.release import PREVIOUS, UpgradeError, checked_out, current
from stack.errors import DeployError
from stack.polling import CheckFailure
from stack.settings import SettingsError, load


def main() -> None:
    """Exit code 1 if anything was lost, or could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m checks.upgrade", description=f"{__doc__} The local stack only.")
    parser.add_argument("--from", default=PREVIOUS, dest="previous", metavar="COMMIT", help=f"({PREVIOUS})")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    changes = []
    try:
        with checked_out(asked.previous) as previous:
            console.print(f"deploying release {previous.name}")
            previous.deploy()
            try:
                data = write(Stack(load("local")))
                console.print(f"there are {data}")
                for release in (current(), previous, current()):
                    console.print(f"to release {release.name}, under traffic")
                    changes.append(change(f"to {release.name}", release.deploy, data))
            finally:
                current().deploy()
    except (UpgradeError, SettingsError, DeployError, CheckFailure) as error:
        sys.exit(f"error: {error}")
    sys.exit(0 if show(f"Release {asked.previous} and this one", changes, console) else 1)


if __name__ == "__main__":
    main()
