"""Faults are refused where they would reach what the stack has not built."""

from typing import Any

import pytest

from checks.chaos.cluster import LocalCluster
from contracts.errors import UserError
from local.paths import Home
from stack.settings import parse
from tests.support.configuration import config

LOCAL = {"context": "local", "kubeconfig": str(Home.default().kubeconfig)}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"cluster": {"context": "prod"}}, "this stack is on context 'prod' of your kubeconfig"),
        ({"cluster": {"context": "local", "kubeconfig": "/clone/kubeconfig"}}, "context 'local' of /clone/kubeconfig"),
        (
            {
                "cluster": LOCAL,
                "kafka": {"external": {"bootstrapServers": "a.example.com:9093"}},
                "traces": {"external": {"otlpUrl": "https://t.example.com", "queryUrl": "https://t.example.com"}},
            },
            "kafka.external, traces.external is yours",
        ),
    ],
)
def test_a_stack_whose_parts_are_elsewhere_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LocalCluster(parse(config(**sections), "Pulumi.test.yaml"))
