"""What is refused of a running stack's encryption, and what is deployed first in its place."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, cast

import pytest

from contracts import endpoints, secret_keys
from contracts.metadata import AUTHORITY, ISSUER, STEPPED, TRUST, Manifest, encryption_step
from stack.components.encryption.authority import Authority
from stack.components.encryption.settings import STEPS, Encryption, EncryptionValue, setting_text
from stack.deploy.encryption_steps import problems
from stack.deploy.noted_encryption import Running, running_workloads
from stack.kubernetes.objects import Objects
from stack.settings import PROJECT, effective_config
from tests.support.program import dev_with, recorded

VALUES = list(STEPS)
ROOTS = [Authority(f"root {number} of an issuer").certificate for number in range(2)]
OWN = Authority(f"value-of-{secret_keys.AUTHORITY_SEED}").certificate


def authority(
    steps: dict[str, EncryptionValue],
    issuer: str = "authoritySeed",
    certificates: Sequence[str] = (OWN,),
    own: str = OWN,
    trust: str | None = None,
) -> Manifest:
    """The ConfigMap as the program declares it; a test compares it with that."""
    values = {name: setting_text(steps.get(name, False)) for name in STEPPED}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": AUTHORITY,
            "annotations": {
                ISSUER: issuer,
                **({TRUST: trust} if trust else {}),
                **{encryption_step(name): value for name, value in values.items()},
            },
        },
        "data": {"ca.crt": "".join(certificates), "own.crt": own},
    }


def workload(steps: dict[str, EncryptionValue], trust: str | None = None) -> Manifest:
    annotations = {encryption_step(name): setting_text(steps.get(name, False)) for name in STEPPED}
    return {"metadata": {"annotations": annotations | ({TRUST: trust} if trust else {})}}


def brokers(number: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": endpoints.KAFKA},
        "spec": {"replicas": number},
    }


def test_the_steps_are_those_of_the_settings() -> None:
    stepped = {name for name, field in Encryption.model_fields.items() if field.annotation == EncryptionValue}
    assert {*STEPPED} == stepped


def test_the_program_declares_what_the_next_deployment_compares() -> None:
    steps: dict[str, Any] = {"kafka": "accepted", "services": True}
    declared = dev_with(encryption=steps)["ConfigMap", AUTHORITY]
    expected = authority(steps)
    assert declared["data"] == expected["data"]
    assert declared["metadata"]["annotations"].items() >= expected["metadata"]["annotations"].items()
    issuer = {"name": "private", "authority": ROOTS[0]}
    declared = dev_with(encryption={"postgres": True, "issuer": issuer})["ConfigMap", AUTHORITY]
    assert declared["metadata"]["annotations"][ISSUER] == "ClusterIssuer.cert-manager.io/private"


@pytest.mark.parametrize("setting", ["telemetry", "services"])
def test_a_setting_goes_one_step_at_a_time_in_both_directions(setting: str) -> None:
    for live, declared in product(VALUES, VALUES):
        manifests = [authority({setting: declared})] if declared else []
        refusals = list(problems(authority({setting: live}) if live else None, manifests))
        distance = VALUES.index(declared) - VALUES.index(live)
        if abs(distance) <= 1:
            assert not refusals
            continue
        following = VALUES[VALUES.index(live) + (1 if distance > 0 else -1)]
        (problem,) = refusals
        assert f"encryption.{setting}: it is {setting_text(live)} now, and {setting_text(declared)} is" in problem
        assert f"Deploy with {setting_text(following)} first" in problem


def test_the_steps_of_brokers_are_not_compared_here() -> None:
    assert not list(problems(authority({"kafka": False}), [authority({"kafka": True})]))


def test_a_stack_of_an_earlier_release_is_not_compared() -> None:
    former = authority({"services": True})
    del former["metadata"]["annotations"]
    assert not list(problems(former, []))


def test_a_setting_whose_annotation_was_removed_is_not_compared_and_the_others_are() -> None:
    live = authority({"services": True, "telemetry": True})
    del live["metadata"]["annotations"][encryption_step("services")]
    (problem,) = problems(live, [], Running.of([workload({"services": True, "telemetry": True})]))
    assert problem.startswith("encryption.telemetry: it is true now, and false is declared")


def test_a_value_that_no_deployment_writes_is_refused_with_the_annotation() -> None:
    live = authority({"services": True})
    live["metadata"]["annotations"][encryption_step("services")] = "ture"
    (problem,) = problems(live, [authority({"services": True})])
    assert "encryption.services: ConfigMap stack-authority has 'ture' in the annotation" in problem
    assert "Write what the pods have: false, accepted, preferred, true" in problem


@pytest.mark.parametrize("content", ["", "no PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", None])
def test_a_configmap_that_someone_has_edited_is_repaired_by_the_next_deployment(content: str | None) -> None:
    declared = authority({"services": True})
    edited = {**authority({"services": True}), "data": {"ca.crt": content, "own.crt": content}}
    without = {key: value for key, value in edited.items() if key != "data"}
    for live in (edited, without):
        assert not list(problems(live, [declared]))
        (problem,) = problems(live, [authority({"services": True}, THEIRS, ROOTS[:1])])
        assert problem.startswith("encryption.issuer:")


def test_another_certificate_in_the_configmap_is_no_other_authority_if_its_mark_is_the_same() -> None:
    steps: dict[str, EncryptionValue] = {"services": True}
    edited = authority(steps, certificates=ROOTS[:1], own=ROOTS[0], trust="same")
    assert not list(problems(edited, [authority(steps, trust="same")]))


@pytest.mark.parametrize("value", VALUES)
def test_without_the_configmap_the_workloads_say_what_runs(value: EncryptionValue) -> None:
    running = Running.of([workload({"services": value})])
    assert not list(problems(None, [authority({"services": value})], running))
    declared = [] if VALUES.index(value) >= 2 else [authority({"services": True})]
    (problem,) = problems(None, declared, running)
    assert f"encryption.services: it is {setting_text(value)} now" in problem


@pytest.mark.parametrize("setting", STEPPED)
def test_after_a_deployment_that_failed_all_pods_need_a_neighbour(setting: str) -> None:
    """The ConfigMap has the new value before the first pod is replaced."""
    for former, requested in [*pairwise(VALUES), *pairwise(VALUES[::-1])]:
        running = Running.of([workload({setting: former}), workload({setting: requested})])
        live = authority({setting: requested})
        for declared in VALUES:
            refusals = list(problems(live, [authority({setting: declared}), brokers(3)], running))
            distances = [abs(VALUES.index(declared) - VALUES.index(item)) for item in (former, requested)]
            assert bool(refusals) is (max(distances) > 1), (former, requested, declared)
            assert all("did not replace all pods" in problem for problem in refusals)
    again = Running.of([workload({setting: "accepted"}), workload({setting: "preferred"})])
    (problem,) = problems(authority({setting: "accepted"}), [brokers(3)], again)
    assert "it is accepted and preferred now, and false is declared" in problem
    assert "Deploy with accepted first" in problem


def test_no_value_is_refused_if_pods_have_no_common_neighbour() -> None:
    running = Running.of([workload({"services": False}), workload({"services": True})])
    for value in VALUES:
        assert not list(problems(authority({"services": True}), [authority({"services": value})], running))


def test_an_issuer_does_not_change_while_some_clients_do_not_trust_the_next_one() -> None:
    steps: dict[str, EncryptionValue] = {"services": True}
    both, next_one = [OWN, ROOTS[0]], authority(steps, THEIRS, [ROOTS[0], OWN], trust="issued")
    alone, first = authority(steps, trust="alone"), authority(steps, certificates=both, trust="both")
    in_parts = Running.of([workload(steps, "alone"), workload(steps, "both")])
    (problem,) = problems(first, [next_one], in_parts)
    assert problem.startswith("encryption.issuer and trustedAuthorities: The last deployment did not replace all pods")
    assert not list(problems(first, [first], in_parts))
    assert not list(problems(first, [alone], in_parts))
    assert not list(problems(first, [next_one], Running.of([workload(steps, "both")])))


def referring(**encryption: Any) -> list[Manifest]:
    """What a program with `TracingStack` is checked as: with references in the place of secrets."""
    references = {f"{PROJECT}:{key}": f"${{{key}}}" for key in secret_keys.ALL}
    return recorded("dev", effective_config("dev") | {f"{PROJECT}:encryption": encryption} | references).manifests


def test_a_program_whose_secrets_are_not_known_yet_is_compared_without_them() -> None:
    steps: dict[str, EncryptionValue] = {"services": True}
    issuer = {"name": "private", "authority": ROOTS[0]}
    own, theirs = authority(steps, trust="a"), authority(steps, THEIRS, [ROOTS[0], OWN], trust="b")
    assert not list(problems(own, referring(**steps)))
    assert not list(problems(own, referring(**steps), Running.of([workload(steps, "a"), workload(steps, "b")])))
    assert not list(problems(theirs, referring(**steps, trustedAuthorities=ROOTS[0])))
    trusting = authority(steps, certificates=[OWN, ROOTS[0]])
    assert not list(problems(trusting, referring(**steps, trustedAuthorities=OWN, issuer=issuer)))
    (problem,) = problems(own, referring(**steps, issuer=issuer))
    assert problem.startswith("encryption.issuer:")
    (problem,) = problems(own, referring(services=True, telemetry="preferred"))
    assert problem.startswith("encryption.telemetry:")


def test_workloads_note_what_the_next_deployment_compares() -> None:
    steps: dict[str, Any] = {"kafka": "accepted", "services": True}
    objects = dev_with(encryption=steps)
    mark = objects["ConfigMap", AUTHORITY]["metadata"]["annotations"][TRUST]
    workloads = [item for (kind, _), item in objects.items() if kind in ("Deployment", "StatefulSet")]
    for item in workloads:
        assert item["metadata"]["annotations"].items() >= workload(steps, mark)["metadata"]["annotations"].items()
        assert TRUST not in item["spec"]["template"]["metadata"]["annotations"], "no pod is replaced for it"
    trusting = dev_with(encryption={**steps, "trustedAuthorities": ROOTS[0]})["ConfigMap", AUTHORITY]
    assert trusting["metadata"]["annotations"][TRUST] != mark
    in_clear = [item for (kind, _), item in dev_with().items() if kind == "StatefulSet"]
    expected = workload({})["metadata"]["annotations"]
    assert all(item["metadata"]["annotations"].items() >= expected.items() for item in in_clear)


def test_former_revisions_with_pods_are_read() -> None:
    def item(name: str, steps: dict[str, EncryptionValue], **status: Any) -> Manifest:
        return {"metadata": {**workload(steps)["metadata"], "name": name}, "status": status}

    lists = {
        "Deployment": [item("gateway", {"services": "accepted"}, replicas=2, updatedReplicas=1)],
        "StatefulSet": [item("loki", {"telemetry": "accepted"}, currentRevision="loki-1", updateRevision="loki-2")],
        "ReplicaSet": [
            item("gateway-a", {"services": False}, replicas=1),
            item("gateway-b", {"services": True}, replicas=0),
        ],
        "ControllerRevision": [item("loki-1", {"telemetry": "preferred"}), item("loki-0", {"telemetry": True})],
    }

    class Listed:
        def list_kind(self, api_version: str, kind: str, **_options: Any) -> list[Manifest]:
            assert api_version == "apps/v1"
            return lists[kind]

    running = Running.of(running_workloads(cast(Objects, Listed())))
    assert running.steps["services"] == {VALUES.index(False), VALUES.index("accepted")}
    assert running.steps["telemetry"] == {0, VALUES.index("accepted"), VALUES.index("preferred")}


THEIRS = "ClusterIssuer.cert-manager.io/private"


@pytest.mark.parametrize("setting", STEPPED)
@pytest.mark.parametrize(("one", "other"), [("accepted", "preferred"), ("preferred", "accepted"), (True, True)])
def test_an_issuer_whose_authority_clients_do_not_trust_yet_is_refused(
    setting: str, one: EncryptionValue, other: EncryptionValue
) -> None:
    own = authority({setting: one}), authority({setting: other})
    theirs = tuple(authority({setting: value}, THEIRS, ROOTS[:1]) for value in (one, other))
    for live, declared in ((own[0], theirs[1]), (theirs[0], own[1])):
        (problem,) = problems(live, [declared, brokers(1)])
        assert problem.startswith("encryption.issuer: pods that are not replaced yet do not trust the new certificates")
        assert "Deploy with both authorities in encryption.trustedAuthorities" in problem
        assert f"or with encryption.{setting} at accepted" in problem


@pytest.mark.parametrize("value", [False, "accepted"])
def test_an_issuer_may_change_while_clients_connect_in_clear(value: EncryptionValue) -> None:
    live, declared = authority({"services": value}), authority({"services": "accepted"}, THEIRS, ROOTS[:1])
    assert not list(problems(live, [declared]))
    assert not list(problems(declared, [live]))


def test_another_issuer_takes_over_while_clients_trust_both() -> None:
    live = authority({"telemetry": True}, THEIRS, ROOTS)
    other = "ClusterIssuer.cert-manager.io/next"
    assert not list(problems(live, [authority({"telemetry": True}, other, ROOTS[::-1])]))
    assert list(problems(live, [authority({"telemetry": True}, other, ROOTS[1:])]))


def test_an_issuer_is_set_and_removed_while_clients_trust_both() -> None:
    steps: dict[str, EncryptionValue] = {"services": True, "kafka": True}
    way = [
        authority(steps),
        authority(steps, certificates=[OWN, ROOTS[0]]),
        authority(steps, THEIRS, [ROOTS[0], OWN]),
        authority(steps, THEIRS, ROOTS[:1]),
    ]
    for live, declared in [*pairwise(way), *pairwise(way[::-1])]:
        assert not list(problems(live, [declared, brokers(3)]))
    assert list(problems(way[0], [way[2]]))
    assert list(problems(way[3], [way[1]]))


def test_clients_trust_further_authorities_than_that_of_the_servers() -> None:
    """The program declares both in the ConfigMap, which the previous test has."""
    declared = dev_with(encryption={"postgres": True, "kafka": True, "trustedAuthorities": ROOTS[0]})
    both = declared["ConfigMap", AUTHORITY]["data"]["ca.crt"]
    assert both == OWN + ROOTS[0]
    assert declared["ConfigMap", "postgres-ca"]["data"]["ca.crt"] == both
    (container,) = declared["Deployment", "gateway"]["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item.get("value") for item in container["env"]}["KAFKA_CA"] == both
    assert declared["ConfigMap", "kafka-config"]["data"]["ca.crt"] == OWN, "brokers know each other by no other"


def test_the_roots_of_one_issuer_change_by_its_own_rules() -> None:
    """`stack.deploy.issuer` compares them with the certificates that the issuer has made."""
    live = authority({"telemetry": True}, THEIRS, ROOTS[:1])
    assert not list(problems(live, [authority({"telemetry": True}, THEIRS, ROOTS)]))


@pytest.mark.parametrize(
    ("setting", "number", "is_refused"), [("services", 1, True), ("kafka", 3, True), ("kafka", 1, False)]
)
def test_another_seed_is_another_authority(setting: str, number: int, is_refused: bool) -> None:
    live, declared = (authority({setting: True}, certificates=[item], own=item) for item in (OWN, ROOTS[0]))
    refusals = list(problems(live, [declared, brokers(number)]))
    assert bool(refusals) is is_refused
    assert all(problem.startswith("authoritySeed: pods that are not replaced yet") for problem in refusals)


def test_another_seed_also_exchanges_what_brokers_and_peers_know_each_other_by() -> None:
    live, declared = (authority({"telemetry": True}, THEIRS, ROOTS[:1], own=item) for item in (OWN, ROOTS[1]))
    (problem,) = problems(live, [declared])
    assert problem.startswith("authoritySeed:")
