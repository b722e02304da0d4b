"""Larger volumes, and what cannot be changed about volumes. On a real API server.

The test's `Reports` write what a storage driver would report.
"""

from typing import Any

import pytest

from contracts.metadata import FIELD_MANAGER
from stack.errors import DeployError
from stack.kubernetes import volume_resize
from stack.kubernetes.volume_resize import OWNERS
from stack.polling import poll_until
from tests.support.api_server import ApiServer
from tests.support.small_stack import ANY, SmallStack, find


def test_a_larger_volume_is_carried_out_and_no_pod_restarts(server: ApiServer) -> None:
    stack = SmallStack(server, "growing")
    small = {"replicas": 2, "queueVolume": "10Gi"}
    stack.deploy(stack.manifests("collector", collector=small))
    pods = stack.pods()
    poll_until("claims that are bound", lambda: len(stack.claims()) == 2)
    (fields,) = _own_fields(stack)
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi"}))
    assert stack.claims() == {"data-collector-0": "20Gi", "data-collector-1": "20Gi"}
    assert stack.template_size() == "20Gi"
    assert stack.pods() == pods
    assert _own_fields(stack) == [fields]
    # A second deployment has nothing to do, and a pod that is added gets the larger volume.
    versions = stack.versions()
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi"}))
    assert stack.versions() == versions
    stack.deploy(stack.manifests("collector", collector=small | {"queueVolume": "20Gi", "replicas": 3}))
    assert stack.claims()["data-collector-2"] == "20Gi"


def _own_fields(stack: SmallStack) -> list[Any]:
    entries = stack.stateful_set().metadata.managed_fields
    return [entry.fields_v1 for entry in entries if entry.manager == FIELD_MANAGER]


def test_a_volume_grows_under_an_autoscaler_which_keeps_its_number_of_pods(server: ApiServer) -> None:
    stack = SmallStack(server, "growing-scaled")
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 10}, "queueVolume": "10Gi"}
    stack.deploy(stack.manifests("collector", collector=scaled))
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 4}})
    poll_until("four pods", lambda: len(stack.claims()) == 4 and len(stack.pods()) == 4)
    pods = stack.pods()
    # A claim that was enlarged by hand beyond the declared size is left alone.
    stack.core.patch_namespaced_persistent_volume_claim(
        "data-collector-3", stack.namespace, {"spec": {"resources": {"requests": {"storage": "30Gi"}}}}
    )
    stack.deploy(stack.manifests("collector", collector=scaled | {"queueVolume": "20Gi"}))
    assert stack.replicas() == 4
    assert stack.pods() == pods
    assert set(stack.claims().values()) == {"20Gi", "30Gi"}


def test_a_volume_grows_under_a_quota_that_has_no_room_for_a_second_object(server: ApiServer) -> None:
    stack = SmallStack(server, "growing-quota")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    poll_until("a claim that is bound", lambda: len(stack.claims()) == 1)
    stack.limit_count("statefulsets.apps")
    poll_until("a quota that counts", stack.has_counted_quota)
    pods = stack.pods()
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "20Gi"}))
    assert stack.template_size() == "20Gi"
    assert stack.pods() == pods
    smaller = r"statefulset/collector: .*storage of its volumes is 20Gi and would be 5Gi.*made smaller"
    with pytest.raises(DeployError, match=smaller):
        stack.deploy(stack.manifests("collector", collector={"queueVolume": "5Gi"}))


def test_a_volume_that_does_not_grow_in_time_is_named_and_the_next_deployment_continues(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = SmallStack(server, "slow")
    stack.deploy(stack.manifests("collector", collector={"queueVolume": "10Gi"}))
    monkeypatch.setattr("stack.kubernetes.volume_resize.enlarge_volumes.__kwdefaults__", {"limit": 1.0})
    server.reports.resizes = False
    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    try:
        with pytest.raises(DeployError, match=r"data-collector-0 has 10Gi.*\n.*changed before that: the volumes of"):
            stack.deploy(larger)
    finally:
        server.reports.resizes = True
    assert stack.template_size() == "10Gi"
    stack.deploy(larger)
    assert stack.template_size() == "20Gi"


def test_the_deployment_after_one_that_ended_without_the_statefulset_adopts_its_pods(server: ApiServer) -> None:
    stack = SmallStack(server, "interrupted")
    scaled = {"replicas": 1, "autoscaling": {"maxReplicas": 10}}
    stack.deploy(stack.manifests("collector", collector=scaled))
    stack.apps.patch_namespaced_stateful_set_scale("collector", stack.namespace, {"spec": {"replicas": 4}})
    poll_until("four pods", lambda: len(stack.pods()) == 4)
    pods = stack.pods()
    stack.apps.delete_namespaced_stateful_set("collector", stack.namespace, propagation_policy="Orphan")
    poll_until("no StatefulSet", lambda: not stack.apps.list_namespaced_stateful_set(stack.namespace).items)
    stack.deploy(stack.manifests("collector", collector=scaled))
    assert stack.replicas() == 4
    assert stack.pods() == pods


@pytest.mark.parametrize("is_changed_meanwhile", [False, True])
def test_the_deployment_after_one_that_ended_before_field_owners_were_restored_restores_them(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, is_changed_meanwhile: bool
) -> None:
    stack = SmallStack(server, f"ended-{is_changed_meanwhile}".lower())
    declared = stack.manifests("collector", collector={"queueVolume": "10Gi"})
    find(declared, "StatefulSet")["metadata"]["annotations"]["leaves"] = "soon"
    stack.deploy(declared)
    poll_until("a claim that is bound", lambda: len(stack.claims()) == 1)
    theirs = {"spec": {"template": {"metadata": {"annotations": {"theirs": "stays"}}}}}
    stack.apps.patch_namespaced_stateful_set("collector", stack.namespace, theirs, field_manager="them")
    poll_until("the owners", lambda: "them" in _owners(stack))
    owners = _owners(stack)

    class Killed(BaseException):
        """Ends a deployment as the end of its process would."""

    def end(*_: Any) -> None:
        if stack.template_size() == "20Gi":
            raise Killed

    larger = stack.manifests("collector", collector={"queueVolume": "20Gi"})
    with monkeypatch.context() as patch:
        patch.setattr(volume_resize, "restore_field_owners", end)
        with pytest.raises(Killed):
            stack.deploy(larger)
    assert stack.template_size() == "20Gi"
    if is_changed_meanwhile:
        late = {"metadata": {"annotations": {"late": "stays"}}}
        stack.apps.patch_namespaced_stateful_set("collector", stack.namespace, late, field_manager="late")
    stack.deploy(larger)
    grown = stack.stateful_set()
    assert "leaves" not in grown.metadata.annotations
    assert OWNERS not in grown.metadata.annotations
    assert grown.spec.template.metadata.annotations["theirs"] == "stays"
    assert ("late" in grown.metadata.annotations) == is_changed_meanwhile
    assert _owners(stack) - {"late"} == owners
    assert _operations(stack) == {"Apply"}


def _owners(stack: SmallStack) -> set[str]:
    return {entry.manager for entry in stack.stateful_set().metadata.managed_fields if entry.subresource is None}


def _operations(stack: SmallStack) -> set[str]:
    """How the stack's field manager came to own its fields."""
    entries = stack.stateful_set().metadata.managed_fields
    return {entry.operation for entry in entries if entry.manager == FIELD_MANAGER}


@pytest.mark.parametrize(
    ("storage_class", "change", "texts"),
    [
        ("fixed", {"collector": {"queueVolume": "20Gi"}}, ["data-collector-0 has 10Gi and would get 20Gi"]),
        ("grows", {"collector": {"queueVolume": "5Gi"}}, ["is 10Gi and would be 5Gi", "made smaller"]),
        (
            "grows",
            {"cluster": {"context": "c", "namespace": ANY, "storageClass": "fixed"}},
            ["storageClassName of its volumes is grows and would be fixed", "cluster.storageClass"],
        ),
    ],
)
def test_a_change_of_volumes_that_cannot_be_carried_out_is_refused_before_anything_is_changed(
    server: ApiServer, storage_class: str, change: dict[str, Any], texts: list[str]
) -> None:
    stack = SmallStack(server, "kept" if "cluster" in change else f"kept-{storage_class}", storage_class)
    stack.deploy(stack.manifests("collector", "collector-config", collector={"queueVolume": "10Gi"}))
    poll_until("a claim that is bound", lambda: bool(stack.claims()))
    versions = stack.versions()
    other = {"collector": {"queueVolume": "10Gi"}, **change}
    other["collector"] = {**other["collector"], "queueSize": 400_000}  # this alone could be changed
    with pytest.raises(DeployError) as refusal:
        stack.deploy(stack.manifests("collector", "collector-config", **other))
    for text in ["Nothing was changed", "statefulset/collector", *texts]:
        assert text in str(refusal.value)
    assert "changed before that" not in str(refusal.value)
    assert stack.versions() == versions
