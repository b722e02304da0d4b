"""`make rollout STACK=…`: brings a changed image or changed tracing to the traffic in steps."""

import argparse
import signal
import sys
from pathlib import Path

import kubernetes
import urllib3
from rich.console import Console

from contracts.errors import UserError
from stack.rollout import command


def main() -> None:
    """Exit code 0: all traffic has the new version; 1: it was rolled back; 2: it could not start or continue."""
    parser = argparse.ArgumentParser(
        prog="python -m stack.rollout",
        description="Bring a changed image or changed tracing to the traffic in steps; each step must pass the gate. "
        "If a run is interrupted, the next one continues from there. "
        "Exit code 0: done; 1: rolled back; 2: it could not start or continue.",
    )
    parser.add_argument("stack", help="for example local or prod")
    parser.add_argument("--plan", action="store_true", help="print what would change and the stages; change nothing")
    parser.add_argument("--abort", action="store_true", help="go back to the stable version, and end the rollout")
    parser.add_argument("--report", type=Path, help="file of the report (.local/rollout-STACK.md)")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, log_path=False)
    # As after an interrupt from the keyboard, the lock is released.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.plan:
            command.plan(options.stack, console)
        elif options.abort:
            command.abort(options.stack, console)
        elif not command.run(options.stack, console, options.report):
            sys.exit(1)
    except UserError as error:
        _fail(f"error: {error}")
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        reason = getattr(error, "reason", "") or type(error).__name__
        _fail(f"error: the cluster did not accept a request ({reason}); run the same command again to continue")
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to continue, or with --abort to go back")


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
