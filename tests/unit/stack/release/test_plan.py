"""The stages of a rollout, their pods, and what they declare."""

import json
from dataclasses import replace
from typing import Any

import pytest

from contracts import secret_keys
from stack.components.services.settings import Split
from stack.components.services.tracing import Tracing
from stack.release.journal import Journal, Phase
from stack.release.plan import Version, plan_steps, split_pods, surge
from stack.settings import PROJECT, Settings, SettingsError, parse
from tests.support.program import recorded

CONFIG: dict[str, Any] = {
    f"{PROJECT}:environment": "test",
    f"{PROJECT}:cluster": {"context": "c"},
    f"{PROJECT}:images": {"service": "registry.example.com/service:2"},
    f"{PROJECT}:services": {"gateway": {"replicas": 3}, "taskManager": {"replicas": 2}, "crawler": {"replicas": 1}},
}
STABLE = Version(image="registry.example.com/service:1", tracing=Tracing(enabled=False))


def settings(**sections: Any) -> Settings:
    return parse(CONFIG | {f"{PROJECT}:{key}": value for key, value in sections.items()}, "test")


@pytest.mark.parametrize(
    ("replicas", "share", "max_pods", "expected"),
    [
        (3, 0.25, 20, (0, 3, 1)),
        (3, 0.5, 20, (0, 2, 2)),
        (2, 0.05, 20, (15, 3, 1)),
        (2, 0.05, 4, (0, 3, 1)),
        (1, 0.5, 2, (0, 1, 1)),
        (3, 1, 4, (0, 1, 3)),
        (1, 1, 20, (0, 1, 3)),
        (1, 1, 2, (0, 1, 1)),
        (5, 1, 4, (0, 1, 5)),
        (40, 0.05, 20, (32, 6, 2)),
    ],
)
def test_a_share_is_made_of_the_fewest_pods(
    replicas: int, share: float, max_pods: int, expected: tuple[int, int, int]
) -> None:
    split = split_pods(replicas, share, max_pods)
    assert (split.stable, split.baseline, split.canary) == expected
    warm = split_pods(replicas, share, max_pods, fresh_baseline=False)
    assert (warm.stable, warm.baseline, warm.canary) == (expected[0] + expected[1], 0, expected[2])


def test_the_canary_is_compared_with_fresh_pods_unless_the_settings_say_otherwise() -> None:
    assert {step.compared for step in plan_steps(settings())[1:]} == {"baseline"}
    warm = plan_steps(settings(rollout={"freshBaseline": False}))
    assert {step.compared for step in warm} == {"stable"}


@pytest.mark.parametrize("replicas", range(1, 12))
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.25, 0.33, 0.5, 0.9, 1])
def test_there_are_never_fewer_pods_than_asked_for(replicas: int, share: float) -> None:
    split = split_pods(replicas, share, 20)
    assert split.total >= replicas
    assert split.canary >= 1
    assert split.baseline >= 1


def test_during_a_move_no_version_has_fewer_pods_than_before_or_after_it() -> None:
    one, other = plan_steps(settings())[2:4]
    for name, split in surge(one, other).items():
        assert split.stable == max(one.splits[name].stable, other.splits[name].stable)
        assert split.baseline == max(one.splits[name].baseline, other.splits[name].baseline)
        assert split.canary == max(one.splits[name].canary, other.splits[name].canary)


def _deployments(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    values = {f"{PROJECT}:{key}": f"value-of-{key}" for key in secret_keys.GENERATED}
    # A rollout changes only the services, so the program declares little else here.
    less = {f"{PROJECT}:{name}": {"enabled": False} for name in ("logs", "alerting", "grafana")}
    objects = recorded("test", config | values | less).manifests
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == "Deployment"}


def _variables(deployment: dict[str, Any]) -> dict[str, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def test_a_stage_declares_both_versions_side_by_side() -> None:
    release = plan_steps(settings())[1].release(STABLE)
    deployments = _deployments(CONFIG | {f"{PROJECT}:release": release.model_dump(by_alias=True, exclude_none=True)})
    names = ["gateway", "gateway-baseline", "gateway-canary"]
    assert sorted(name for name in deployments if name.startswith("gateway")) == names
    tracks = [deployments[name] for name in names]
    assert [item["spec"]["replicas"] for item in tracks] == [15, 3, 1]
    images = [item["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] for item in tracks]
    assert images == ["1", "1", "2"]
    assert [_variables(item)["TRACING_ENABLED"] for item in tracks] == ["false", "false", "true"]
    stable, baseline, canary = (item["spec"]["template"]["metadata"]["labels"] for item in tracks)
    for number, own in ((1, baseline), (2, canary)):
        selected = tracks[number]["spec"]["selector"]["matchLabels"].items()
        assert selected <= own.items()
        assert not any(selected <= labels.items() for labels in (stable, baseline, canary) if labels is not own)


def test_step_0_and_the_end_have_one_version() -> None:
    stable_only = plan_steps(settings())[0].release(STABLE)
    deployments = _deployments(
        CONFIG | {f"{PROJECT}:release": stable_only.model_dump(by_alias=True, exclude_none=True)}
    )
    assert [name for name in deployments if name.startswith("gateway")] == ["gateway"]
    assert deployments["gateway"]["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1")
    assert _deployments(CONFIG)["gateway"]["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":2")


def test_the_stable_version_does_not_change_when_a_rollout_begins() -> None:
    """Else every pod of it would be replaced at the first stage."""
    current = settings()
    version = Version(image=current.service_image, tracing=current.tracing)
    release = plan_steps(settings(images={"service": "registry.example.com/service:3"}))[1].release(version)
    later = CONFIG | {
        f"{PROJECT}:images": {"service": "registry.example.com/service:3"},
        f"{PROJECT}:release": release.model_dump(by_alias=True, exclude_none=True),
    }
    for name in ("gateway", "task-manager", "web-crawler"):
        assert _deployments(later)[name]["spec"]["template"] == _deployments(CONFIG)[name]["spec"]["template"]


def test_a_stage_may_sample_less_than_the_settings() -> None:
    stages = [{"share": 0.5, "samplingRate": 0.1}, {"share": 1}]
    release = plan_steps(settings(rollout={"stages": stages}))[1].release(STABLE)
    deployments = _deployments(CONFIG | {f"{PROJECT}:release": release.model_dump(by_alias=True, exclude_none=True)})
    assert _variables(deployments["gateway-canary"])["TRACING_SAMPLING_RATE"] == "0.1"


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"stages": []}, "at least 1"),
        ({"stages": [{"share": 0.5}, {"share": 0.25}, {"share": 1}]}, "do not grow"),
        ({"stages": [{"share": 0.5}]}, "would never end"),
        ({"stages": [{"share": 1, "samplingRate": 0.1}]}, "remove its samplingRate"),
        ({"stages": [{"share": 1.5}]}, "less than or equal to 1"),
        ({"gate": {"confidence": 1}}, "less than 1"),
        ({"maxPods": 1}, "greater than or equal to 2"),
    ],
)
def test_stages_that_lead_nowhere_are_refused(rollout: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(rollout=rollout)


CANARY = Version(image="registry.example.com/service:2", tracing=Tracing(sampling_rate=0.5))
JOURNAL = Journal(
    stable=STABLE,
    canary=CANARY,
    stage=2,
    passed=1,
    phase=Phase.ROLLING_BACK,
    since=1.5,
    reason="why",
)


def test_a_journal_is_read_as_it_was_written() -> None:
    assert Journal.load(JOURNAL.dump()) == JOURNAL
    assert json.loads(JOURNAL.dump())["phase"] == "RollingBack"


@pytest.mark.parametrize(
    ("former", "phase"),
    [
        ("moving", Phase.PROGRESSING),
        ("soaking", Phase.PROGRESSING),
        ("finishing", Phase.PROMOTING),
        ("returning", Phase.ROLLING_BACK),
        ("held", Phase.PAUSED),
        ("failed", Phase.DEGRADED),
    ],
)
def test_a_journal_of_an_earlier_release_is_read(former: str, phase: Phase) -> None:
    document = {
        "before": STABLE.as_json(),
        "after": CANARY.as_json(),
        "stage": 2,
        "good": 1,
        "phase": former,
        "since": 1.5,
        "beside": [0.5, 1.0],
        "reason": "why",
    }
    journal = Journal.load(json.dumps(document))
    assert journal == replace(JOURNAL, phase=phase)
    assert journal.is_under_way == (former != "failed")


def test_the_changes_of_a_version_are_listed() -> None:
    assert STABLE.changes_to(CANARY) == [
        "image: registry.example.com/service:1 → registry.example.com/service:2",
        "tracing.enabled: False → True",
        "tracing.samplingRate: 1.0 → 0.5",
    ]


def test_a_split_without_pods_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would answer"):
        Split(stable=0)
