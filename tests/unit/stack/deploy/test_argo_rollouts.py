"""The manifests for Argo Rollouts, from the same settings."""

from typing import Any

import pytest

from contracts.services import CRAWLER, GATEWAY, SERVICES
from stack.components.services.rollout import StageAnalysis
from stack.deploy.argo_rollouts import ANALYSIS, with_rollouts
from stack.errors import DeployError
from stack.settings import PROJECT, Settings, effective_config, parse
from tests.support.program import dev_with

ROLLOUT = {"stages": [{"share": 0.25, "soakSeconds": 20}, {"share": 0.5}, {"share": 1}]}


def dev_settings(**sections: Any) -> Settings:
    return parse(effective_config("dev") | {f"{PROJECT}:{key}": value for key, value in sections.items()}, "dev")


def made(**sections: Any) -> dict[tuple[str, str], dict[str, Any]]:
    manifests = with_rollouts(list(dev_with(**sections).values()), dev_settings(**sections))
    return {(item["kind"], item["metadata"]["name"]): item for item in manifests}


def test_each_service_is_a_rollout_whose_steps_are_judged() -> None:
    objects = made(rollout=ROLLOUT)
    assert {name for kind, name in objects if kind == "Rollout"} == set(SERVICES)
    assert not {name for kind, name in objects if kind == "Deployment"} & set(SERVICES)
    canary = objects["Rollout", CRAWLER]["spec"]["strategy"]["canary"]
    assert [step["setWeight"] for step in canary["steps"][::2]] == [25, 50]
    (value,) = (argument["value"] for argument in canary["steps"][1]["analysis"]["args"])
    analysis = StageAnalysis.model_validate_json(value)
    assert (analysis.service, analysis.soak_seconds) == (CRAWLER, 20)
    assert analysis.gate.false_alarms == 0.01 / 2, "two stages share the error budget"


def test_argo_rollouts_sets_the_track_and_prometheus_finds_both() -> None:
    objects = made(rollout=ROLLOUT)
    spec = objects["Rollout", GATEWAY]["spec"]
    (track,) = spec["strategy"]["canary"]["canaryMetadata"]["labels"]
    assert track not in spec["template"]["metadata"]["labels"]
    for name, value in (("gateway-pods", "stable"), ("gateway-canary-pods", "canary")):
        assert objects["Service", name]["spec"]["selector"][track] == value
    assert spec["strategy"]["canary"]["stableMetadata"]["labels"] == {track: "stable"}


def test_the_job_runs_in_the_services_image_and_reaches_prometheus_alone() -> None:
    objects = made(rollout=ROLLOUT)
    (metric,) = objects["AnalysisTemplate", ANALYSIS]["spec"]["metrics"]
    template = metric["provider"]["job"]["spec"]["template"]
    (container,) = objects["Rollout", GATEWAY]["spec"]["template"]["spec"]["containers"]
    assert template["spec"]["containers"][0]["image"] == container["image"]
    assert template["spec"]["automountServiceAccountToken"] is False
    policy = objects["NetworkPolicy", ANALYSIS]["spec"]
    assert policy["podSelector"]["matchLabels"] == template["metadata"]["labels"]
    _, prometheus = policy["egress"]
    opened = objects["NetworkPolicy", f"{ANALYSIS}-to-prometheus"]["spec"]
    assert prometheus["to"] == [{"podSelector": opened["podSelector"]}]
    assert opened["ingress"][0]["from"] == [{"podSelector": policy["podSelector"]}]


def test_the_job_has_access_to_an_encrypted_prometheus() -> None:
    objects = made(rollout=ROLLOUT, encryption={"telemetry": True})
    steps = objects["Rollout", GATEWAY]["spec"]["strategy"]["canary"]["steps"]
    (value,) = (argument["value"] for argument in steps[1]["analysis"]["args"])
    assert StageAnalysis.model_validate_json(value).prometheus == "https://prometheus:9090"
    (metric,) = objects["AnalysisTemplate", ANALYSIS]["spec"]["metrics"]
    (judge,) = metric["provider"]["job"]["spec"]["template"]["spec"]["containers"]
    references = {item["name"]: item["valueFrom"] for item in judge["env"] if "valueFrom" in item}
    ca = references["PROMETHEUS_CA"]["configMapKeyRef"]
    assert ca["key"] in objects["ConfigMap", ca["name"]]["data"]
    token = references["PROMETHEUS_AUTHORIZATION"]["secretKeyRef"]
    assert objects["Secret", token["name"]]["stringData"][token["key"]].startswith("Bearer ")


EXTERNAL = {
    "queryUrl": "http://prometheus.monitoring:9090",
    "remoteWrite": {"url": "http://prometheus.monitoring:9090/api/v1/write"},
}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"rollout": {"stages": [{"share": 1}]}}, "nothing could be compared"),
        ({"metrics": {"external": EXTERNAL}, "alerting": {"enabled": False}}, "use `make rollout`"),
        ({"services": {"enabled": False}}, "no Rollout"),
    ],
)
def test_what_cannot_be_judged_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(DeployError, match=message):
        with_rollouts([], dev_settings(**sections))
