"""The step of encryption that a StatefulSet of brokers has, which someone may have edited."""

from typing import Any

import pytest

from stack.components.kafka.component import ENCRYPTION
from stack.deploy.brokers import _step


@pytest.mark.parametrize(
    ("variables", "step"),
    [
        ([], 0),
        (None, 0),
        ([{"name": ENCRYPTION, "value": "preferred"}], 2),
        ([{"name": ENCRYPTION, "value": "ture"}], None),
        ([{"name": ENCRYPTION, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], None),
    ],
)
def test_a_value_that_no_deployment_writes_is_not_compared(variables: Any, step: int | None) -> None:
    containers = [{"name": "kafka", "env": variables}, {"name": "added-by-hand"}]
    assert _step({"spec": {"template": {"spec": {"containers": containers}}}}) == step
