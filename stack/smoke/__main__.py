"""`make smoke STACK=…`: sends one request through a stack and follows its trace."""

import argparse
import sys

from contracts.errors import UserError
from stack.polling import CheckFailure
from stack.settings import load_here
from stack.smoke.check import check
from stack.smoke.report import show, show_json


def smoke(stack: str, *, as_json: bool = False) -> None:
    """Runs the smoke check and prints what it measured.

    Raises:
        CheckFailure: names the hop that is missing and what to look at.
        UserError: the stack cannot be reached.
    """
    report = check(load_here(stack))
    (show_json if as_json else show)(report)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.smoke", description="Follow one request through a stack.")
    parser.add_argument("--stack", required=True, help="for example local or dev")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    try:
        smoke(options.stack, as_json=options.json)
    except CheckFailure as failure:
        sys.exit(f"smoke check failed: {failure}")
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
