"""Drift: objects that differ from their declaration, are missing, or are not declared."""

from collections.abc import Iterable
from typing import Any

from kubernetes.dynamic.exceptions import ApiException
from rich.console import Console

from contracts.metadata import Manifest, labels
from stack.deploy.drift import Drift, compare, show
from stack.kubernetes.keys import ObjectKey, object_key
from tests.support.changed_objects import changed_objects


class FakeObjects:
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
        return next(item for item in DECLARED if object_key(item) == object_key(manifest))


LIVE = [pair["live"] for pair in changed_objects().values()]
DECLARED = [pair["applied"] for pair in changed_objects().values()]


def with_labels(kind: str, name: str, **metadata: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels(name, "x"), **metadata}}


def test_objects_as_declared_are_left_out() -> None:
    names = {drift.object for drift in compare(DECLARED, FakeObjects(LIVE))}
    assert names == changed_objects().keys() - {"statefulset/kafka"}


def test_missing_objects_and_those_that_are_declared_no_more_are_named() -> None:
    extra = [
        with_labels("ConfigMap", "old"),
        with_labels("ConfigMap", "deployed-objects"),
        with_labels("PersistentVolumeClaim", "data-kafka-0"),
        with_labels("Endpoints", "kafka"),
        with_labels("Pod", "kafka-0", ownerReferences=[{"uid": "x"}]),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign"}},
    ]
    kafka = changed_objects()["statefulset/kafka"]
    assert compare([kafka["applied"], DECLARED[0]], FakeObjects([kafka["live"], *extra])) == [
        Drift(object=next(iter(changed_objects())), problem="is missing"),
        Drift(object="configmap/old", problem="exists, and is not declared (any more)"),
    ]


def test_an_object_that_cannot_become_what_is_declared_is_named() -> None:
    kafka = changed_objects()["statefulset/kafka"]
    (drift,) = compare([kafka["applied"]], FakeObjects([kafka["live"]], refused=422))
    assert (drift.object, drift.problem) == ("statefulset/kafka", "cannot become what is declared")
    console = Console(record=True, width=80)
    show("dev", [drift], console)
    text = console.export_text()
    assert "brings back" not in text
    assert "`make deploy STACK=dev` is refused until statefulset/kafka can be as declared" in text


def test_the_report_is_plain_text_outside_of_a_terminal() -> None:
    console = Console(record=True, width=80)
    show("dev", compare(DECLARED, FakeObjects(LIVE)), console)
    text = console.export_text()
    assert "deployment/gateway" in text
    assert "  spec.replicas: 5, declared 2\n" in text
    assert "6 objects of stack dev are not as declared. `make deploy STACK=dev` brings back" in text
