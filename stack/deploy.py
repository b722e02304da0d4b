"""Deploys a stack: through the Pulumi CLI where it can be had, else by server-side apply of the rendered program."""

import argparse
import secrets as random
import sys
import time
from collections.abc import Collection

from stack import engine, secrets
from stack.apply import DeployError, apply, connect, existing_secret, hand_over, refuse_foreign, was_applied
from stack.render import render
from stack.settings import PROJECT, Settings, SettingsError, effective_config, load


def deploy(stack: str) -> str:
    """Deploys a stack and waits until it is ready.

    Returns:
        What did it, in words.

    Raises:
        SettingsError: the stack does not exist or its settings cannot be used; nothing was changed.
        DeployError: the cluster cannot be used, or the deployment failed.
    """
    settings = load(stack)
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    refuse_foreign(client, namespace)
    # The cluster is where the secrets live: those that are there stay, those that are missing are made up.
    present = existing_secret(client, namespace, secrets.NAME)
    values = {key: present.get(key) or random.token_urlsafe(24) for key in secrets.KEYS}
    values |= {key: value for key in secrets.OPTIONAL if (value := secrets.given(key) or present.get(key)) is not None}
    command = engine.find(_say)
    configured = effective_config(stack) if command else {}
    require_secrets(stack, settings, {*values, *(key.removeprefix(f"{PROJECT}:") for key in configured)})
    if command is not None:
        take_over = was_applied(client, namespace)
        if take_over:
            _say("what was applied server-side before is taken over by Pulumi")
        engine.up(command, stack, settings, values, take_over=take_over)
        if take_over:
            hand_over(client, namespace, render(stack, values), _say)
        return f"pulumi up ({command})"
    _say("the rendered program is applied server-side instead: same objects, same waits, pruned")
    apply(client, namespace, render(stack, values), _say)
    return "server-side apply of the rendered program"


def require_secrets(stack: str, settings: Settings, there: Collection[str]) -> None:
    """Nothing if `there` has every secret that the receivers of alerts need.

    Raises:
        DeployError: names those that are missing, and how they are set.
    """
    if missing := [key for key in settings.alerting.needed_secrets if key not in there]:
        variables = " ".join(f"{secrets.variable(key)}=…" for key in missing)
        raise DeployError(
            f"alerting names receivers whose secrets are missing: {', '.join(missing)}. Nothing was changed. Set each "
            f"with `pulumi config set -s {stack} --secret KEY`, or once, where there is no Pulumi, with "
            f"`{variables} make deploy STACK={stack}`"
        )


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.deploy", description=__doc__)
    parser.add_argument("stack", help="for example local or dev")
    stack = parser.parse_args().stack
    started = time.monotonic()
    print(f"deploying stack {stack}", flush=True)
    try:
        how = deploy(stack)
    except (SettingsError, DeployError) as error:
        sys.exit(f"error: {error}")
    print(f"deployed stack {stack} in {time.monotonic() - started:.0f} s through {how}")


if __name__ == "__main__":
    main()
