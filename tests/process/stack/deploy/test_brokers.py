"""The number of Kafka's brokers in the cluster, and the declared one."""

import pytest

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
