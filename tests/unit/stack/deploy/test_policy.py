"""Every stack keeps the rules, and each rule finds its violations."""

import copy
from pathlib import Path

import pytest

from contracts.metadata import Manifest
from stack.deploy import policy
from stack.deploy.policy import PolicyError, require_compliance, violations
from stack.settings import ROOT
from tests.support.command_line import wct
from tests.support.policy_cases import GOOD, VIOLATIONS, Change, container, file, pod, variable, with_change
from tests.support.program import rendered, rendered_with_secrets

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def several(change: Change) -> Change:
    def changed(objects: dict[str, Manifest]) -> None:
        objects["Deployment"]["spec"]["replicas"] = 2
        objects["Deployment"]["spec"]["template"]["metadata"] = {"labels": {"app": "web"}}
        keys = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        pod(objects)["topologySpreadConstraints"] = [{"topologyKey": key} for key in keys]
        change(objects)

    return changed


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_keeps_the_rules(stack: str) -> None:
    assert violations(rendered(stack)) == violations(rendered_with_secrets(stack)) == []


def test_good_objects_are_accepted() -> None:
    require_compliance(GOOD)


@pytest.mark.parametrize(("rule", "part", "change"), VIOLATIONS)
def test_a_violation_is_refused_by_its_rule(rule: str, part: str, change: Change) -> None:
    with pytest.raises(PolicyError) as caught:
        require_compliance(with_change(change))
    assert any(rule in line and part in line for line in str(caught.value).splitlines()), caught.value


def test_every_rule_has_a_violation() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == policy.RULES.keys()


def budget(app: str) -> Manifest:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "tracing"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
    }


def test_several_pods_are_spread_and_have_a_budget() -> None:
    assert violations([*with_change(several(lambda o: None)), budget("web")]) == []
    (without,) = violations([*with_change(several(lambda o: None)), budget("other")])
    assert (without.rule, without.problem) == ("available", "has several pods and no PodDisruptionBudget")
    one_key = several(lambda o: pod(o)["topologySpreadConstraints"].pop())
    (unspread,) = violations([*with_change(one_key), budget("web")])
    assert (unspread.rule, unspread.problem) == (
        "available",
        "its pods are not spread over topology.kubernetes.io/zone",
    )


@pytest.mark.parametrize("change", [variable("PGPASSWORD", "hunter22"), file("x: correct horse battery staple")])
def test_a_secret_is_not_repeated_by_the_refusal(change: Change) -> None:
    text = "".join(str(item) for item in violations(with_change(change)))
    assert "hunter22" not in text
    assert "battery" not in text


@pytest.mark.parametrize("kind", ["Pod", "CronJob"])
def test_pods_of_every_kind_are_checked(kind: str) -> None:
    spec = pod({"Deployment": copy.deepcopy(GOOD[1])}) | {"hostIPC": True}
    jobs = {"jobTemplate": {"spec": {"template": {"spec": spec}}}}
    made = {
        "kind": kind,
        "metadata": {"name": "x", "namespace": "tracing"},
        "spec": spec if kind == "Pod" else jobs,
    }
    assert [item.rule for item in violations([made])] == ["no access to the node"]


def test_a_variable_may_name_the_file_of_a_secret_that_is_mounted() -> None:
    def mounted(objects: dict[str, Manifest]) -> None:
        container(objects)["volumeMounts"] = [{"name": "keys", "mountPath": "/etc/keys"}]
        variable("CLOUD_CREDENTIALS", "/etc/keys/account.json")(objects)

    assert violations(with_change(mounted)) == []
    (violation,) = violations(with_change(variable("CLOUD_CREDENTIALS", "/etc/keys/account.json")))
    assert violation.rule == "secrets by reference"


def test_a_service_with_a_reason_may_be_public() -> None:
    def public(objects: dict[str, Manifest]) -> None:
        objects["Service"]["spec"]["type"] = "LoadBalancer"
        objects["Service"]["metadata"]["annotations"] = {"web-crawl-tracing/public": "the front door"}

    assert violations(with_change(public)) == []


def test_nothing_is_written_of_a_stack_that_breaks_a_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(policy, "RULES", {"nothing at all": lambda manifest: iter(["exists"])})
    written = tmp_path / "dev.yaml"
    result = wct("render", "dev", "--output", str(written))
    assert result.exit_code == 1
    assert "namespace/tracing: exists (rule 'nothing at all')" in result.stderr
    assert not written.exists()
