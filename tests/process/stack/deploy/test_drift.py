"""Drift in fields that a deployment cannot change in place. On a real API server."""

import pytest

from stack.deploy.drift import compare
from stack.errors import DeployError
from stack.kubernetes.objects import Objects
from tests.support.api_server import ApiServer
from tests.support.small_stack import SmallStack, find


def test_drift_in_an_immutable_field_names_it_and_what_to_do(server: ApiServer) -> None:
    stack = SmallStack(server, "drifted")
    stack.deploy(stack.manifests("collector"))
    changed = stack.manifests("collector")
    find(changed, "StatefulSet")["spec"]["podManagementPolicy"] = "OrderedReady"
    (drift,) = compare(changed, Objects(server.client, stack.namespace))
    (line,) = drift.refused
    assert drift.object == "statefulset/collector"
    assert line.startswith('spec.podManagementPolicy is "Parallel" and would be "OrderedReady": ')
    assert "`kubectl -n drifted delete statefulset/collector` ends its pods and keeps the volumes" in line
    with pytest.raises(DeployError) as refusal:
        stack.deploy(changed)
    assert line in str(refusal.value), "a deployment gives the same advice"


def test_volumes_that_a_deployment_enlarges_are_drift_that_it_repairs(server: ApiServer) -> None:
    stack = SmallStack(server, "drifted-volumes")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    (drift,) = compare(larger, Objects(server.client, stack.namespace))
    assert (drift.problem, drift.refused) == ("its volumes are smaller than declared (20Gi)", [])
