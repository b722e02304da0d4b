"""The encryption of a stack in the cluster, and the declared one."""

import pytest

from contracts import secret_keys
from contracts.metadata import AUTHORITY, Manifest
from stack.components.encryption.settings import STEPS, setting_text
from stack.deploy.encryption_steps import check_encryption_steps
from stack.errors import DeployError
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.objects import Objects
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack

AUTHORITY_KEY = ObjectKey("v1", "ConfigMap", AUTHORITY)
NAMES = ("collector", "collector-config", "collector-pods", "stack-authority")
SEED = {secret_keys.AUTHORITY_SEED: f"value-of-{secret_keys.AUTHORITY_SEED}"}


def test_a_running_stack_takes_one_step_at_a_time(server: ApiServer) -> None:
    stack = SmallStack(server, "encrypted-services")
    steps = list(STEPS)

    def check(step: object) -> None:
        manifests = stack.manifests(encryption={"services": step}, **SEED)
        check_encryption_steps(stack.client, stack.namespace, manifests)

    check(True)  # a new stack has any
    for number, step in enumerate(steps):
        stack.deploy(stack.manifests(*NAMES, encryption={"services": step}, **SEED))
        for other, declared in enumerate(steps):
            if abs(other - number) <= 1:
                check(declared)
                continue
            following = setting_text(steps[number + (1 if other > number else -1)])
            with pytest.raises(DeployError, match=rf"encryption\.services: .*Deploy with {following} first: see"):
                check(declared)


def test_a_deployment_that_failed_and_a_deleted_configmap_are_seen(server: ApiServer) -> None:
    stack = SmallStack(server, "encrypted-in-parts")
    objects = Objects(stack.client, stack.namespace)

    def manifests(step: object, *names: str) -> list[Manifest]:
        return stack.manifests(*names, encryption={"services": step}, **SEED)

    def check(step: object) -> list[str]:
        return check_encryption_steps(stack.client, stack.namespace, manifests(step))

    stack.deploy(manifests("accepted", *NAMES))
    (authority,) = (item for item in manifests("preferred") if object_key(item) == AUTHORITY_KEY)
    objects.apply(authority)
    assert check("preferred") == check("accepted") == []
    for step, following in ((True, "preferred"), (False, "accepted")):
        with pytest.raises(DeployError, match=rf"it is accepted and preferred now.* Deploy with {following} first"):
            check(step)
    objects.delete(AUTHORITY_KEY, foreground=False)
    assert check("preferred") == check(False) == []
    with pytest.raises(DeployError, match="it is accepted now, and true is declared"):
        check(True)
