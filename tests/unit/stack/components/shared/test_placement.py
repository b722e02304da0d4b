"""Placement: every pod has the settings of the stack, or those of its component."""

from typing import Any

import pytest

from contracts import secret_keys
from contracts.metadata import Manifest
from contracts.services import SERVICES
from stack.components.shared.placement import Placement, StackPlacement
from stack.settings import PROJECT, effective_config
from tests.support.configuration import refusal
from tests.support.program import recorded, rendered_with_secrets

TOLERATION = {"key": "dedicated", "value": "tracing", "effect": "NoSchedule"}
PLACEMENT = {
    "nodeSelector": {"pool": "tracing"},
    "tolerations": [TOLERATION],
    "zones": "required",
    "components": {"queue": {"nodeSelector": {"disk": "fast"}, "nodes": "required"}, "dashboards": {"tolerations": []}},
}
LEAVE = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
]


def workloads(stack: str, **sections: Any) -> list[Manifest]:
    secrets = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.ALL}
    changed = {f"{PROJECT}:{key}": value for key, value in sections.items()}
    manifests = recorded(stack, effective_config(stack) | secrets | changed).manifests
    return [item for item in manifests if item["kind"] in ("Deployment", "StatefulSet")]


@pytest.mark.parametrize("stack", ["dev", "staging", "prod"])
def test_every_workload_follows_the_settings(stack: str) -> None:
    for item in workloads(stack, placement=PLACEMENT):
        component = item["metadata"]["labels"]["app.kubernetes.io/component"]
        pod = item["spec"]["template"]["spec"]
        is_queue = component == "queue"
        assert pod["nodeSelector"] == ({"disk": "fast"} if is_queue else {"pool": "tracing"}), component
        declared = [] if component == "dashboards" else [{**TOLERATION, "operator": "Equal"}]
        leave = LEAVE if item["kind"] == "Deployment" else []
        assert pod.get("tolerations", []) == [*leave, *declared], component
        assert {each["topologyKey"]: each["whenUnsatisfiable"] for each in pod["topologySpreadConstraints"]} == {
            "kubernetes.io/hostname": "DoNotSchedule" if is_queue else "ScheduleAnyway",
            "topology.kubernetes.io/zone": "DoNotSchedule",
        }


def test_the_settings_decide_how_long_pods_stay_on_a_lost_node() -> None:
    key = "node.kubernetes.io/unreachable"
    stay = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    for item in workloads("dev", placement={"tolerations": [stay]}):
        tolerations = item["spec"]["template"]["spec"]["tolerations"]
        assert [each["tolerationSeconds"] for each in tolerations if each["key"] == key] == [60]


def test_every_component_can_be_placed() -> None:
    components = {item["metadata"]["labels"]["app.kubernetes.io/component"] for item in workloads("prod")}
    placement = StackPlacement.model_validate({"components": {name: {"nodes": "required"} for name in components}})
    for name in components:
        assert placement.of(name) == Placement(nodes="required")


def test_every_workload_of_prod_has_a_priority_and_dashboards_the_lowest() -> None:
    classes = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["priorityClassName"]
        for item in rendered_with_secrets("prod")
        if item["kind"] in ("Deployment", "StatefulSet")
    }
    assert {name for name, priority in classes.items() if priority == "tracing-dashboards"} == {"grafana"}
    assert {name for name, priority in classes.items() if priority == "tracing-tasks"} == {
        *SERVICES,
        "kafka",
        "kafka-users",
        "postgres",
    }
    assert set(classes.values()) == {"tracing-tasks", "tracing-telemetry", "tracing-dashboards"}


@pytest.mark.parametrize(
    ("placement", "part"),
    [
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "Exists compares no value"),
        ({"tolerations": [{"value": "b"}]}, "Equal needs a key"),
        ({"tolerations": [{"key": "a", "value": "b", "tolerationSeconds": 5}]}, "needs effect: NoExecute"),
        ({"components": {"kafka": {}}}, "placement.components.kafka"),
        ({"nodes": "strict"}, "placement.nodes: 'strict'"),
    ],
)
def test_what_kubernetes_would_refuse_or_ignore_is_refused(placement: dict[str, Any], part: str) -> None:
    assert part in refusal(placement=placement)
