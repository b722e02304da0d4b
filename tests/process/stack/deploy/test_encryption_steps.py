"""The encryption of a stack in the cluster, and the declared one."""

import pytest

from contracts import secret_keys
from stack.components.encryption.settings import STEPS, setting_text
from stack.deploy.encryption_steps import check_encryption_steps
from stack.errors import DeployError
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack


def test_a_running_stack_takes_one_step_at_a_time(server: ApiServer) -> None:
    stack = SmallStack(server, "encrypted-services")
    names = ("collector", "collector-config", "collector-pods", "stack-authority")
    seed = {secret_keys.AUTHORITY_SEED: f"value-of-{secret_keys.AUTHORITY_SEED}"}
    steps = list(STEPS)

    def check(step: object) -> None:
        manifests = stack.manifests(encryption={"services": step}, **seed)
        check_encryption_steps(stack.client, stack.namespace, manifests)

    check(True)  # a new stack has any
    for number, step in enumerate(steps):
        stack.deploy(stack.manifests(*names, encryption={"services": step}, **seed))
        for other, declared in enumerate(steps):
            if abs(other - number) <= 1:
                check(declared)
                continue
            following = setting_text(steps[number + (1 if other > number else -1)])
            with pytest.raises(DeployError, match=rf"encryption\.services: .*Deploy with {following} first: see"):
                check(declared)
