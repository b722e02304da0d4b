"""`make spans STACK=…`: how many spans reached each stage of their way, and where spans are missing."""

import argparse
import sys

from rich.console import Console

from contracts.errors import UserError
from stack.accounting.command import parse_duration, spans


def main() -> None:
    """Exit code 1: spans are missing; 2: they could not be counted, or the window cannot be judged."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.accounting",
        description=f"{__doc__} Exit code 1: spans are missing; 2: that cannot be decided.",
    )
    parser.add_argument("stack", help="for example local or dev")
    parser.add_argument("--since", type=_duration, default="1h", metavar="TIME", help="window, as 30m, 6h, 2d (1h)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        accounting = spans(options.stack, console, seconds=options.since, as_json=options.json)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(2 if accounting.other_way_until is not None else 1 if accounting.is_lost else 0)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    main()
