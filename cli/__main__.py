"""`./wct`: the one command line."""

import atexit
import gc
import signal
import sys

if __name__ == "__main__":
    # An interrupt during the imports ends the program without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import click

from cli.group import LazyGroup

COMMANDS = {
    "up": "cli.local:up",
    "doctor": "cli.local:doctor",
    "down": "cli.local:down",
    "status": "cli.local:status",
    "dev": "cli.local:dev",
    "deploy": "cli.stack:deploy",
    "smoke": "cli.stack:smoke",
    "spans": "cli.stack:spans",
    "rollout": "cli.stack:rollout",
    "config": "cli.stack:config",
    "drift": "cli.stack:drift",
    "render": "cli.stack:render",
    "destroy": "cli.stack:destroy",
    "dashboards-check": "cli.stack:dashboards_check",
    "forget": "cli.access:forget",
    "access-key": "cli.access:access_key",
    "explain": "cli.stack:explain",
    "admission": "cli.stack:admission",
    "connections": "cli.stack:connections",
    "mcp": "cli.stack:mcp",
    "schema": "cli.reference:schema",
    "telemetry": "cli.reference:telemetry",
    "capacity": "cli.capacity:capacity",
    "check": "cli.checks:check",
    "cluster": "cli.local:cluster",
    "images": "cli.local:images",
    "completion": "cli.completion:completion",
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Most have a make target (`make help`). `make check` is not `wct check`: it runs lint and types.",
)
def wct() -> None:
    """Deploy a web-crawl task-manager with distributed tracing on Kubernetes, and prove that every trace arrives."""


def main() -> None:
    """Run the command that the arguments name."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # By default a collection follows on 700 new objects. The imports of the SDKs make a million, none of them garbage.
    gc.set_threshold(50_000, 20, 50)
    # At its exit the interpreter would look for garbage among all objects of the SDKs, which takes 0.4 s.
    atexit.register(gc.freeze)
    wct(prog_name="wct", args=sys.argv[1:])


if __name__ == "__main__":
    main()
