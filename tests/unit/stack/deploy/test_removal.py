"""Removing a stack takes what the stack made, all of it, and nothing else."""

from collections.abc import Iterable
from typing import Any

import pytest

from contracts.metadata import PROTECTED, Manifest, labels
from stack.deploy.removal import DestroyError, RemovalPlan, plan_removal, remove
from stack.kubernetes.inventory import INVENTORY_KEY
from stack.kubernetes.keys import ObjectKey, object_key
from stack.kubernetes.ownership import sort_by_owner
from tests.support.program import program

NAMESPACE = "tracing"


def made(kind: str, name: str, api: str = "v1", owner: str | None = None, **fields: Any) -> Manifest:
    """An object as a cluster lists it; its uid is its kind and name, `owner` the uid of its owner."""
    owners = {"ownerReferences": [{"uid": owner}]} if owner else {}
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"{kind}/{name}", **owners}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def claim(name: str, labels: dict[str, str]) -> Manifest:
    manifest = made("PersistentVolumeClaim", name, spec={"resources": {"requests": {"storage": "5Gi"}}})
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}


OURS = labels("postgres", "database")
WORKLOAD: list[Manifest] = [
    made("StatefulSet", "postgres", "apps/v1"),
    made("ControllerRevision", "postgres-1", "apps/v1", owner="StatefulSet/postgres"),
    made("Pod", "postgres-0", owner="StatefulSet/postgres"),
    made("Deployment", "gateway", "apps/v1"),
    made("ReplicaSet", "gateway-1", "apps/v1", owner="Deployment/gateway"),
    made("Pod", "gateway-1-1", owner="ReplicaSet/gateway-1"),
    made("Service", "gateway"),
    made("Endpoints", "gateway"),
    made("EndpointSlice", "gateway-1", "discovery.k8s.io/v1", owner="Service/gateway"),
    made("ConfigMap", "deployed-objects"),
    claim("data-postgres-0", OURS),
    claim("data-loki-0", OURS),  # of a component that was switched off
]
OF_KUBERNETES = [made("ServiceAccount", "default"), made("ConfigMap", "kube-root-ca.crt")]
FOREIGN = [
    made("ConfigMap", "foreign"),
    made("Pod", "debug"),
    claim("data-foreign-0", {}),
    made("Secret", "pull"),
]
OWNED: set[ObjectKey] = {
    ObjectKey("v1", "Namespace", NAMESPACE),
    ObjectKey("apps/v1", "StatefulSet", "postgres"),
    ObjectKey("apps/v1", "Deployment", "gateway"),
    ObjectKey("v1", "Service", "gateway"),
    ObjectKey("v1", "ConfigMap", "gone-by-hand"),
    INVENTORY_KEY,
}


class FakeObjects:
    """A namespace in key what is deleted goes with everything that it owns, at once or never."""

    def __init__(
        self, objects: Iterable[Manifest], *, annotations: dict[str, str] | None = None, held: Iterable[str] = ()
    ) -> None:
        self.existing = list(objects)
        self.namespace: Manifest | None = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "annotations": annotations},
        }
        self.held = set(held)
        self.unlisted: list[str] = []
        self.deleted: list[str] = []

    def list_all(self) -> tuple[list[Manifest], list[str]]:
        listed = list(self.existing)
        # Endpoints are listed for a moment longer than their Service.
        services = {item["metadata"]["name"] for item in listed if item["kind"] == "Service"}
        self.existing = [item for item in listed if item["kind"] != "Endpoints" or item["metadata"]["name"] in services]
        return listed, list(self.unlisted)

    def delete(self, key: ObjectKey, *, foreground: bool) -> bool:
        assert foreground
        self.deleted.append(f"{key[1]}/{key[2]}")
        if key[1] == "Namespace":
            self.namespace = None
        elif key[2] not in self.held:
            gone = {f"{key[1]}/{key[2]}"}
            while True:
                owned = {
                    str(item["metadata"]["uid"])
                    for item in self.existing
                    if any(owner["uid"] in gone for owner in item["metadata"].get("ownerReferences", ()))
                }
                if owned <= gone:
                    break
                gone |= owned
            self.existing = [item for item in self.existing if item["metadata"]["uid"] not in gone]
        return True

    def get(self, key: ObjectKey) -> Manifest | None:
        if key[1] == "Namespace":
            return self.namespace
        return next((item for item in self.existing if object_key(item) == key), None)


def planned(objects: FakeObjects, *, protect: bool = False) -> RemovalPlan:
    return plan_removal("dev", NAMESPACE, objects, OWNED, protect=protect)


def removed(objects: FakeObjects) -> list[str]:
    progress: list[str] = []
    now = iter(range(1000))
    remove(planned(objects), objects, progress.append, deadline=5, clock=lambda: next(now), sleep=lambda _: None)
    return progress


def names(objects: Iterable[Manifest]) -> set[str]:
    return {f"{item['kind']}/{item['metadata']['name']}" for item in objects}


def test_every_object_of_a_namespace_has_one_owner() -> None:
    ownership = sort_by_owner([*WORKLOAD, *OF_KUBERNETES, *FOREIGN], OWNED)
    assert names(ownership.foreign) == names(FOREIGN)
    assert names(ownership.claims) == {"PersistentVolumeClaim/data-postgres-0", "PersistentVolumeClaim/data-loki-0"}
    assert names(ownership.own) == names(WORKLOAD) - names(ownership.claims) - {"Endpoints/gateway"}


def issued(name: str, certificate: str, labels: dict[str, str]) -> Manifest:
    """A Secret as cert-manager makes it."""
    manifest = made("Secret", name)
    annotations = {"cert-manager.io/certificate-name": certificate}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels, "annotations": annotations}}


def test_secrets_of_cert_manager_go_with_the_stack() -> None:
    kafka = ObjectKey("cert-manager.io/v1", "Certificate", "kafka-issued")
    ours = {"app.kubernetes.io/part-of": "web-crawl-tracing", "app.kubernetes.io/managed-by": "cert-manager"}
    secrets = [
        issued("kafka-issued", "kafka-issued", ours),
        issued("loki-issued", "loki-issued", ours),  # of a certificate that is gone
        issued("gateway-tls", "gateway-tls", {}),  # of an Ingress
    ]
    made_for_ingress = made("Certificate", "gateway-tls", "cert-manager.io/v1", owner="Ingress/gateway")
    objects = [
        *WORKLOAD,
        made("Certificate", "kafka-issued", "cert-manager.io/v1"),
        made("Ingress", "gateway", "networking.k8s.io/v1"),
        made_for_ingress,
        *secrets,
        issued("theirs", "theirs", {}),
    ]
    ownership = sort_by_owner(objects, OWNED | {kafka, ObjectKey("networking.k8s.io/v1", "Ingress", "gateway")})
    assert names(ownership.issued) == names(secrets)
    assert names(ownership.foreign) == {"Secret/theirs"}
    cluster = FakeObjects([*WORKLOAD, *OF_KUBERNETES, secrets[0]])
    assert any("kafka-issued" in line for line in planned(cluster).describe())
    removed(cluster)
    assert "Secret/kafka-issued" in cluster.deleted
    assert cluster.namespace is None


def test_an_object_that_is_listed_in_another_version_of_its_api_is_the_same() -> None:
    scaler = made("HorizontalPodAutoscaler", "collector", "autoscaling/v2")
    assert not sort_by_owner([scaler], {ObjectKey("autoscaling/v1", "HorizontalPodAutoscaler", "collector")}).foreign
    assert sort_by_owner([scaler], {ObjectKey("example.com/v1", "HorizontalPodAutoscaler", "collector")}).foreign


def test_all_objects_of_the_stack_are_removed_and_then_its_namespace() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES])
    progress = removed(objects)
    assert objects.namespace is None
    assert names(objects.existing) == names(OF_KUBERNETES) | {"ConfigMap/deployed-objects"}
    order = objects.deleted.index
    assert order("Deployment/gateway") < order("Service/gateway")
    assert order("StatefulSet/postgres") < order("PersistentVolumeClaim/data-postgres-0")
    assert progress[-1] == f"removed namespace/{NAMESPACE}"
    assert "removed statefulset/postgres" in progress


def test_objects_of_others_stay_and_the_namespace_with_them() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES, *FOREIGN])
    text = "\n".join(planned(objects).describe())
    for item in names(FOREIGN):
        assert item.lower() in text
    progress = removed(objects)
    assert objects.namespace
    assert names(objects.existing) == names(OF_KUBERNETES) | names(FOREIGN)
    assert progress[-1].startswith(f"kept namespace {NAMESPACE}, for configmap/foreign, ")


def test_the_namespace_never_goes_as_one_object_among_others() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "uid": "n"}}
    assert ("v1", "Namespace", NAMESPACE) not in planned(FakeObjects([*WORKLOAD, namespace])).made


def test_a_kind_that_cannot_be_listed_keeps_the_namespace() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES])
    objects.unlisted = ["Certificate (Forbidden)"]
    assert "  cannot be listed: Certificate (Forbidden)" in planned(objects).describe()
    removed(objects)
    assert objects.namespace


def test_an_object_that_was_made_meanwhile_keeps_the_namespace() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES])
    plan = planned(objects)
    assert not plan.keeps_namespace
    objects.existing.append(made("ConfigMap", "late"))
    now = iter(range(1000))
    remove(plan, objects, lambda _: None, deadline=5, clock=lambda: next(now), sleep=lambda _: None)
    assert objects.namespace
    assert "ConfigMap/late" in names(objects.existing)


def test_the_plan_names_every_object_and_the_size_of_the_data() -> None:
    lines = planned(FakeObjects([*WORKLOAD, *OF_KUBERNETES])).describe()
    assert lines == [
        "of stack dev, in namespace tracing, will be removed:",
        "  Deployment: gateway",
        "  StatefulSet: postgres",
        "  Service: gateway",
        "  ConfigMap: deployed-objects",
        "  data: data-loki-0, 5Gi",
        "  data: data-postgres-0, 5Gi",
        "  the namespace tracing itself: it holds nothing of anyone else",
    ]


@pytest.mark.parametrize(
    ObjectKey("protect", "annotations", "protected"),
    [(False, None, False), (True, None, True), (False, {PROTECTED: "true"}, True)],
)
def test_data_is_protected_by_the_settings_and_by_those_of_the_last_deployment(
    protect: bool, annotations: dict[str, str] | None, protected: bool
) -> None:
    assert planned(FakeObjects(WORKLOAD, annotations=annotations), protect=protect).protected == protected


def test_an_object_that_is_not_deleted_in_time_is_named_with_its_finalizers() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES], held={"data-postgres-0"})
    data = next(item for item in objects.existing if item["metadata"]["name"] == "data-postgres-0")
    data["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    with pytest.raises(DestroyError, match=r"data-postgres-0 \(held by kubernetes\.io/pvc-protection\)"):
        removed(objects)
    assert objects.namespace
    assert "ConfigMap/deployed-objects" in names(objects.existing), "the next attempt knows what is the stack's"


def test_an_interrupted_removal_can_be_continued() -> None:
    objects = FakeObjects([*WORKLOAD, *OF_KUBERNETES], held={"data-postgres-0"})
    with pytest.raises(DestroyError):
        removed(objects)
    objects.held = set()
    removed(objects)
    assert objects.namespace is None


def test_the_objects_of_the_program_are_known_as_its_own() -> None:
    manifests = [item for item in program("distributed tempo").manifests if item["kind"] != "Namespace"]
    listed = [{**item, "metadata": {**item["metadata"], "uid": str(number)}} for number, item in enumerate(manifests)]
    assert not sort_by_owner(listed, {object_key(item) for item in manifests}).foreign
