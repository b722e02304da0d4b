"""What differs in the cluster is said, all of it and nothing else, and without a secret.

The recorded objects are of Kubernetes 1.35: each as it was after somebody had changed it by hand, and what the API
server answered to the program's dry run then.
"""

import json
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.dynamic.exceptions import ApiException
from rich.console import Console

from contracts.metadata import FIELD_MANAGER, Manifest, labels
from stack.deploy.drift import Drift, compare, find_drift, show
from stack.kubernetes.client import connect
from stack.kubernetes.difference import differences
from stack.kubernetes.fields import HIDDEN
from stack.kubernetes.keys import ObjectKey, object_key
from stack.settings import load

RECORDED = Path(__file__).with_name("recorded") / "drift.json"


@cache
def recorded() -> dict[str, dict[str, Manifest]]:
    found: dict[str, dict[str, Manifest]] = json.loads(RECORDED.read_text())
    return found


def said(name: str) -> list[str]:
    return [str(item) for item in differences(**recorded()[name])]


def test_an_object_that_nobody_changed_is_as_declared() -> None:
    assert said("statefulset/kafka") == []


def test_a_scaled_deployment_is_seen() -> None:
    assert said("deployment/gateway") == ["spec.replicas: 5, declared 2"]


def test_changed_and_added_fields_are_named_and_a_restart_is_no_change() -> None:
    container = "spec.template.spec.containers[task-manager]"
    assert said("deployment/task-manager") == [
        f'{container}.image: "other:1", declared "registry.example.com/service:1"',
        f"{container}.env[API_TOKEN]: set by OpenAPI-Generator, not declared",
        f"{container}.env[DEBUG]: set by OpenAPI-Generator, not declared",
    ]


def test_of_a_file_the_changed_lines_are_shown() -> None:
    assert said("configmap/tempo-config") == [
        "data.tempo.yaml: 'http_listen_port: 3201', declared 'http_listen_port: 3200'"
    ]


def test_a_service_that_was_opened_is_seen() -> None:
    lines = said("service/grafana")
    assert 'spec.type: "NodePort", declared "ClusterIP"' in lines
    assert "metadata.labels.mine: set by OpenAPI-Generator, not declared" in lines


def test_no_value_of_a_secret_is_shown_wherever_somebody_put_it() -> None:
    assert said("secret/stack-secrets") == [f"data.otlpTokens: {HIDDEN}, declared {HIDDEN}"]
    assert said("configmap/kafka-config") == [
        f"data.server.properties: {HIDDEN}, declared {HIDDEN}",
        "data.extra: set by OpenAPI-Generator, not declared",
    ]
    everything = "\n".join(line for name in recorded() for line in said(name))
    for value in ("hunter2", "aHVudGVyMm", "value-of-", "dmFsdWUt", "supersecret99"):
        assert value not in everything


def test_what_was_brought_back_is_as_declared_whoever_wrote_it_last() -> None:
    for name in ("secret/stack-secrets", "configmap/tempo-config"):
        applied = recorded()[name]["applied"]
        assert differences(applied, applied) == [], name


def test_what_pulumi_notes_for_itself_is_no_drift() -> None:
    pair = json.loads(json.dumps(recorded()["statefulset/kafka"]))
    pair["live"]["metadata"]["annotations"] = {"pulumi.com/patchFieldManager": FIELD_MANAGER}
    assert differences(**pair) == []


class Fake:
    """A namespace of recorded objects."""

    def __init__(self, objects: Iterable[Manifest], refused: int | None = None) -> None:
        self.objects = list(objects)
        self.refused = refused

    def list_all(self) -> tuple[list[Manifest], list[str]]:
        return self.objects, []

    def get(self, key: ObjectKey) -> Manifest | None:
        return next((item for item in self.objects if object_key(item)[1:] == key[1:]), None)

    def apply(self, manifest: Manifest, *, dry_run: bool) -> Manifest:
        assert dry_run
        if self.refused:
            raise ApiException(status=self.refused)
        return next(
            pair["applied"] for pair in recorded().values() if object_key(pair["applied"]) == object_key(manifest)
        )


LIVE = [pair["live"] for pair in recorded().values()]
DECLARED = [pair["applied"] for pair in recorded().values()]


def labelled(kind: str, name: str, **more: Any) -> Manifest:
    metadata = {"name": name, "labels": labels(name, "x"), **more}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def test_objects_as_declared_are_left_out() -> None:
    assert {item.object for item in compare(DECLARED, Fake(LIVE))} == recorded().keys() - {"statefulset/kafka"}


def test_missing_objects_and_those_that_are_declared_no_more_are_named() -> None:
    extra = [
        labelled("ConfigMap", "old"),
        labelled("ConfigMap", "deployed-objects"),
        labelled("PersistentVolumeClaim", "data-kafka-0"),
        labelled("Endpoints", "kafka"),
        labelled("Pod", "kafka-0", ownerReferences=[{"uid": "x"}]),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "somebodys"}},
    ]
    kafka = recorded()["statefulset/kafka"]
    here = Fake([kafka["live"], *extra])
    assert compare([kafka["applied"], DECLARED[0]], here) == [
        Drift(object=next(iter(recorded())), problem="is missing"),
        Drift(object="configmap/old", problem="exists, and is not declared (any more)"),
    ]


def test_an_object_that_cannot_become_what_is_declared_is_named() -> None:
    kafka = recorded()["statefulset/kafka"]
    (found,) = compare([kafka["applied"]], Fake([kafka["live"]], refused=422))
    assert (found.object, found.problem) == ("statefulset/kafka", "cannot become what is declared")
    console = Console(record=True, width=80)
    show("dev", [found], console)
    text = console.export_text()
    assert "brings back" not in text
    assert "`make deploy STACK=dev` is refused until statefulset/kafka can be as declared" in text


def test_the_report_is_plain_where_it_is_no_terminal() -> None:
    console = Console(record=True, width=80)
    show("dev", compare(DECLARED, Fake(LIVE)), console)
    text = console.export_text()
    assert "deployment/gateway" in text
    assert "  spec.replicas: 5, declared 2\n" in text
    assert "6 objects of stack dev are not as declared. `make deploy STACK=dev` brings back" in text


@pytest.mark.cluster
def test_a_change_by_hand_is_drift_until_it_is_taken_back() -> None:
    settings = load("local")
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    core, apps = kubernetes.client.CoreV1Api(client), kubernetes.client.AppsV1Api(client)
    assert find_drift("local") == [], "the stack is not as declared before anything was done to it"
    apps.patch_namespaced_deployment_scale("gateway", namespace, {"spec": {"replicas": 0}})
    core.patch_namespaced_service("gateway", namespace, {"metadata": {"labels": {"by-hand": "yes"}}})
    try:
        found = {item.object: [str(line) for line in item.fields] for item in find_drift("local")}
        assert found.keys() == {"deployment/gateway", "service/gateway"}
        assert found["deployment/gateway"] == [f"spec.replicas: 0, declared {settings.services.gateway.replicas}"]
        (line,) = found["service/gateway"]
        assert line.startswith("metadata.labels.by-hand: set by ")
    finally:
        apps.patch_namespaced_deployment_scale(
            "gateway", namespace, {"spec": {"replicas": settings.services.gateway.replicas}}
        )
        core.patch_namespaced_service("gateway", namespace, {"metadata": {"labels": {"by-hand": None}}})
    assert find_drift("local") == []
    deadline = time.monotonic() + 120
    while not apps.read_namespaced_deployment("gateway", namespace).status.available_replicas:
        assert time.monotonic() < deadline, "the gateway has not come back"
        time.sleep(1)
