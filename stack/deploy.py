"""Deploys a stack: through the Pulumi CLI where it can be had, else by server-side apply of the rendered program."""

import argparse
import secrets as random
import sys
import time

from stack import engine, policy, secrets
from stack.apply import DeployError, apply, connect, existing_secret, hand_over, refuse_foreign, was_applied
from stack.preconditions import refuse_unknown_classes
from stack.render import render
from stack.settings import SettingsError, load


def deploy(stack: str) -> str:
    """Deploys a stack and waits until it is ready.

    Returns:
        What did it, in words.

    Raises:
        SettingsError: the stack does not exist or its settings cannot be used; nothing was changed.
        PolicyError: it declares what no stack may have; nothing was changed.
        DeployError: the cluster cannot be used, or the deployment failed.
    """
    settings = load(stack)
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    there = refuse_foreign(client, namespace)
    refuse_unknown_classes(client, settings.cluster)
    # The cluster is where the secrets live: those that are there stay, those that are missing are made up.
    present = existing_secret(client, namespace, secrets.NAME)
    values = {key: present.get(key) or random.token_urlsafe(24) for key in secrets.KEYS}
    values |= {key: present[key] for key in secrets.OPTIONAL if key in present}
    manifests = render(stack, values)
    policy.refuse(manifests)
    command = engine.find(_say)
    if command is not None:
        take_over = was_applied(client, namespace)
        if take_over:
            _say("what was applied server-side before is taken over by Pulumi")
        # Pulumi knows by its configuration which optional secrets there are; one that was taken out stays out.
        known = values if take_over else {key: values[key] for key in secrets.KEYS}
        engine.up(command, stack, settings, known, refresh=take_over or not there)
        if take_over:
            hand_over(client, namespace, manifests, _say)
        return f"pulumi up ({command})"
    _say("the rendered program is applied server-side instead: same objects, same waits, pruned")
    apply(client, namespace, manifests, _say)
    return "server-side apply of the rendered program"


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
    except (SettingsError, DeployError, policy.PolicyError) as error:
        sys.exit(f"error: {error}")
    print(f"deployed stack {stack} in {time.monotonic() - started:.0f} s through {how}")


if __name__ == "__main__":
    main()
