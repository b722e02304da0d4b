"""Steps of `encryption.services` on the local stack."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from checks.rollouts.command import restore_stack
from checks.rollouts.scenario import changed_settings
from contracts.metadata import AUTHORITY, encryption_step
from stack.components.encryption.settings import STEPS, EncryptionValue, setting_text
from stack.kubernetes.client import connect
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object
from stack.settings import ROOT, load

_SETTING = "services"


def taken_by_both(*values: EncryptionValue) -> list[bool]:
    """Return which connections the servers at all of these steps take: in clear (False), with TLS (True)."""
    steps = [STEPS[value] for value in values]
    taken = {False: all(step.takes_plain for step in steps), True: all(step.takes_tls for step in steps)}
    return [encrypted for encrypted, is_taken in taken.items() if is_taken]


def deploy_step(value: EncryptionValue) -> None:
    """Deploy the local stack with a value of `encryption.services`, without the smoke check."""
    with changed_settings(encryption={_SETTING: value}):
        command = [sys.executable, "-m", "cli", "deploy", "local", "--no-smoke"]
        subprocess.run(command, cwd=ROOT, check=True)


@contextmanager
def restored_steps() -> Iterator[None]:
    """Bring the stack back to connections in clear in the end, one step after the other."""
    try:
        yield
    finally:
        values = list(STEPS)
        for value in reversed(values[1 : values.index(_current())]):
            deploy_step(value)
        restore_stack()


def _current() -> EncryptionValue:
    cluster = load("local").cluster
    authority = read_object(connect(cluster), cluster.namespace, ObjectKey("v1", "ConfigMap", AUTHORITY))
    text = authority["metadata"]["annotations"][encryption_step(_SETTING)] if authority else setting_text(False)
    return next(value for value in STEPS if setting_text(value) == text)
