"""What `make deploy` looks at before it changes anything, for `pulumi up` and `pulumi preview` without it.

The engine takes the program's resources one by one, and the first of them may be changed when the last is refused. So
the program is rendered in a process of its own, before the first resource is registered, and held against the rules of
`policy.py` and the cluster.
"""

import json
import os
import subprocess
import sys
from typing import Any, Final

import pulumi
from pulumi.runtime import config as engine_config
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import SETTINGS

from stack.deploy import policy, queues
from stack.deploy.preflight import missing_metrics, refuse_unknown_classes
from stack.deploy.render import record
from stack.errors import DeployError
from stack.kubernetes import dry_run
from stack.kubernetes.apply import connect, refuse_foreign
from stack.settings import ROOT, SettingsError, parse

LOOKED: Final = "WEB_CRAWL_TRACING_LOOKED"
"""Variable that says that somebody has looked already."""
_SECONDS: Final = 120


def look() -> None:
    """Nothing where there is no engine, or where somebody has looked.

    Raises:
        DeployError: the cluster would not take what the program declares, or a rule forbids it; nothing was changed.
    """
    if isinstance(SETTINGS.monitor, MockMonitor) or os.environ.get(LOOKED):
        return
    asked = {
        "stack": pulumi.get_stack(),
        "config": {**engine_config.get_config_env(), **engine_config.CONFIG.get()},
        "preview": pulumi.runtime.is_dry_run(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "stack.deploy.plain_pulumi"],
        cwd=ROOT,
        input=json.dumps(asked),
        text=True,
        capture_output=True,
        timeout=_SECONDS,
    )
    if done.stdout.strip():
        pulumi.log.warn(done.stdout.strip())
    if done.returncode != 0:
        raise DeployError(done.stderr.strip())


def _look(stack: str, config: dict[str, Any], *, preview: bool) -> None:
    manifests = record(stack, config).manifests
    policy.refuse(manifests)
    encrypted = set(config)  # the engine's own program has looked at that
    cluster = parse(config, f"stack {stack}", encrypted).cluster
    try:
        client = connect(cluster)
    except DeployError as error:
        print(f"not looked at before: {error}")  # the provider fails for the same reason, if it needs the cluster
        return
    refuse_foreign(client, cluster.namespace, stack, lenient=preview)
    refuse_unknown_classes(client, cluster)
    for line in (
        *missing_metrics(client, manifests),
        *queues.look(client, cluster.namespace, manifests, leave=True),
    ):
        print(line)
    for growth in dry_run.require(client, cluster.namespace, manifests, lenient=preview):
        raise DeployError(
            f"{growth.workload}: its volumes are to become larger ({', '.join(growth.sizes.values())}). Pulumi would "
            "delete it with its pods for that, and the volumes would stay as they are. Nothing was changed. "
            f"`make deploy STACK={stack}` enlarges them while the pods run"
        )


def main() -> None:
    asked = json.load(sys.stdin)
    try:
        _look(asked["stack"], asked["config"], preview=asked["preview"])
    except (SettingsError, policy.PolicyError, DeployError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
