"""The checks of `make deploy` for a plain `pulumi up` or `pulumi preview`.

The engine takes the program's resources one by one, so the first may be changed when the last is refused. So before the
first resource is registered, a process of its own renders the program and checks it against the rules of `policy.py`
and the cluster.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

import pulumi
from pulumi.runtime import config as engine_config
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import SETTINGS

from contracts.errors import UserError
from stack.deploy import policy
from stack.deploy.cluster_checks import check_cluster
from stack.deploy.cluster_requirements import require_classes
from stack.deploy.issuer import require_issuer
from stack.deploy.render import record
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.kubernetes.namespace import require_own_namespace
from stack.settings import ROOT, parse

_TIMEOUT_SECONDS: Final = 120
_is_checked: ContextVar[bool] = ContextVar("is_checked", default=False)


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """The program that runs while this context is open is not checked again: `make deploy` has run the checks."""
    token = _is_checked.set(True)
    try:
        yield
    finally:
        _is_checked.reset(token)


def check_before_update() -> None:
    """Runs the checks under a real engine, unless `make deploy` has run them.

    Raises:
        DeployError: The cluster would refuse what the program declares, or a rule forbids it; nothing was changed.
    """
    if _is_checked.get():
        return
    check({**engine_config.get_config_env(), **engine_config.CONFIG.get()})


def check(config: Mapping[str, Any], *, ask_cluster: bool = True) -> None:
    """Checks, under a real engine, what the program declares with a configuration.

    Args:
        config: Pulumi configuration, `project:key` → value.
        ask_cluster: Also ask the cluster of the context that the settings name.

    Raises:
        DeployError: The cluster would refuse what the program declares, or a rule forbids it; nothing was changed.
    """
    if isinstance(SETTINGS.monitor, MockMonitor):
        return
    request = {
        "stack": pulumi.get_stack(),
        "config": config,
        "preview": pulumi.runtime.is_dry_run(),
        "ask_cluster": ask_cluster,
    }
    process = subprocess.run(
        [sys.executable, "-m", "stack.deploy.plain_pulumi"],
        cwd=ROOT,
        input=json.dumps(request),
        text=True,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
    )
    if process.stdout.strip():
        pulumi.log.warn(process.stdout.strip())
    if process.returncode != 0:
        raise DeployError(process.stderr.strip())


def _check(stack: str, config: dict[str, Any], *, preview: bool, ask_cluster: bool) -> None:
    manifests = record(stack, config).manifests
    policy.require_compliance(manifests)
    if not ask_cluster:
        return
    # The engine passes decrypted values; its own program has refused secrets in clear in the stack file.
    encrypted = set(config)
    settings = parse(config, f"stack {stack}", encrypted)
    cluster = settings.cluster
    try:
        client = connect(cluster)
    except DeployError as error:
        print(f"not checked before the update: {error}")  # the provider reports it, if it needs the cluster
        return
    require_own_namespace(client, cluster.namespace, stack, lenient=preview)
    require_classes(client, cluster)
    require_issuer(client, settings)
    for growth in check_cluster(
        client, cluster.namespace, manifests, on_warning=print, leave_queues=True, lenient=preview
    ):
        raise DeployError(
            f"{growth.workload}: its volumes are to become larger ({', '.join(growth.sizes.values())}). Pulumi would "
            "delete it with its pods for that, and the volumes would stay as they are. Nothing was changed. "
            f"`make deploy STACK={stack}` enlarges them while the pods run"
        )


def main() -> None:
    request = json.load(sys.stdin)
    try:
        _check(request["stack"], request["config"], preview=request["preview"], ask_cluster=request["ask_cluster"])
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
