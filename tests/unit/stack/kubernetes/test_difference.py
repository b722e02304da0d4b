"""Every field that differs in the cluster is named, no other field, and no secret is shown."""

import copy

from contracts.metadata import FIELD_MANAGER
from stack.kubernetes.difference import differences
from stack.kubernetes.fields import HIDDEN
from tests.support.changed_objects import changed_objects


def lines(name: str) -> list[str]:
    return [str(item) for item in differences(**changed_objects()[name])]


def test_an_unchanged_object_is_as_declared() -> None:
    assert lines("statefulset/kafka") == []


def test_a_scaled_deployment_is_named() -> None:
    assert lines("deployment/gateway") == ["spec.replicas: 5, declared 2"]


def test_changed_and_added_fields_are_named_and_a_restart_is_no_change() -> None:
    container = "spec.template.spec.containers[task-manager]"
    assert lines("deployment/task-manager") == [
        f'{container}.image: "other:1", declared "registry.example.com/service:1"',
        f"{container}.env[API_TOKEN]: set by OpenAPI-Generator, not declared",
        f"{container}.env[DEBUG]: set by OpenAPI-Generator, not declared",
    ]


def test_of_a_file_the_changed_lines_are_shown() -> None:
    assert lines("configmap/tempo-config") == [
        "data.tempo.yaml: 'http_listen_port: 3201', declared 'http_listen_port: 3200'"
    ]


def test_a_service_that_was_opened_is_named() -> None:
    service = lines("service/grafana")
    assert 'spec.type: "NodePort", declared "ClusterIP"' in service
    assert "metadata.labels.mine: set by OpenAPI-Generator, not declared" in service


def test_no_value_of_a_secret_is_shown_in_any_object() -> None:
    assert lines("secret/stack-secrets") == [f"data.otlpTokens: {HIDDEN}, declared {HIDDEN}"]
    assert lines("configmap/kafka-config") == [
        f"data.server.properties: {HIDDEN}, declared {HIDDEN}",
        "data.extra: set by OpenAPI-Generator, not declared",
    ]
    text = "\n".join(line for name in changed_objects() for line in lines(name))
    for value in ("hunter2", "aHVudGVyMm", "value-of-", "dmFsdWUt", "supersecret99"):
        assert value not in text


def test_a_field_with_the_declared_value_is_as_declared_even_if_another_manager_wrote_it() -> None:
    for name in ("secret/stack-secrets", "configmap/tempo-config"):
        applied = changed_objects()[name]["applied"]
        assert differences(applied, applied) == [], name


def test_annotations_that_pulumi_keeps_for_itself_are_no_drift() -> None:
    pair = copy.deepcopy(changed_objects()["statefulset/kafka"])
    pair["live"]["metadata"]["annotations"] = {"pulumi.com/patchFieldManager": FIELD_MANAGER}
    assert differences(**pair) == []
