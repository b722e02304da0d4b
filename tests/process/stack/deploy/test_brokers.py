"""The brokers of the cluster, and the declared ones."""

import pytest

from contracts import secret_keys
from stack.components.encryption.settings import STEPS, setting_text
from stack.deploy.brokers import require_broker_steps
from stack.errors import DeployError
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack


def test_brokers_are_added_one_at_a_time_and_never_removed(server: ApiServer) -> None:
    stack = SmallStack(server, "more-brokers")

    def check(brokers: int) -> None:
        require_broker_steps(stack.client, stack.namespace, stack.manifests("kafka", kafka={"brokers": brokers}))

    check(3)  # a new stack has any number
    stack.deploy(stack.manifests("kafka", "kafka-config", "kafka-pods"))
    check(1)
    check(2)
    with pytest.raises(DeployError, match=r"there is 1 now, and 3 are declared.*Deploy with 2 first"):
        check(3)
    stack.deploy(stack.manifests("kafka", "kafka-config", "kafka-pods", kafka={"brokers": 2}))
    check(3)
    with pytest.raises(DeployError, match=r"there are 2 now, and 1 declared.*Set it back to 2"):
        check(1)


def test_several_brokers_take_one_step_of_encryption_at_a_time(server: ApiServer) -> None:
    stack = SmallStack(server, "encrypted-brokers")
    names = ("kafka", "kafka-config", "kafka-pods")
    steps = list(STEPS)
    secrets = (secret_keys.AUTHORITY_SEED, *secret_keys.KAFKA_USER_PASSWORD.values())

    def sections(step: object, brokers: int) -> dict[str, object]:
        values = {key: f"value-of-{key}" for key in secrets}
        return {"kafka": {"brokers": brokers}, "encryption": {"kafka": step}, **values}

    def check(step: object, brokers: int = 3) -> None:
        manifests = stack.manifests("kafka", **sections(step, brokers))
        require_broker_steps(stack.client, stack.namespace, manifests)

    check(True)  # a new stack has any
    stack.deploy(stack.manifests(*names, **sections(False, 1)))
    check(True, brokers=1)  # a single broker is unavailable during each update
    for number, step in enumerate(steps):
        stack.deploy(stack.manifests(*names, **sections(step, 3)))
        for other, declared in enumerate(steps):
            if abs(other - number) <= 1:
                check(declared)
                continue
            following = steps[number + (1 if other > number else -1)]
            with pytest.raises(DeployError, match=rf"Deploy with {setting_text(following)} first"):
                check(declared)
