"""What the running services emit is what the telemetry contract declares, and the other way round."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checks.harness.http import CLIENT
from contracts import http
from contracts.telemetry import Metric, SpanType, load_registry
from tests.support.system import System

REGISTRY = load_registry()
OPERATIONS = 150
TYPES = {str: "string", bool: "boolean", int: "int", float: "double"}


@dataclass
class Emitted:
    """The spans of one service, kind and name."""

    count: int = 0
    attributes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    types: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    events: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def spans(system: System) -> Mapping[tuple[str, str, str], Emitted]:
    """The spans of 150 operations, a third of them malformed."""
    outcome = system.cover(OPERATIONS, OPERATIONS // 3)
    assert not outcome.failed
    emitted: dict[tuple[str, str, str], Emitted] = defaultdict(Emitted)
    for service, recorder in system.recorders.items():
        for span in recorder.spans():
            entry = emitted[service, span.kind.name, span.name]
            entry.count += 1
            entry.events |= {event.name for event in span.events}
            for key, value in (span.attributes or {}).items():
                entry.attributes[key] += 1
                entry.types[key].add(TYPES[type(value)])
    return emitted


def declared() -> dict[tuple[str, str, str], SpanType]:
    return {(span.service, span.kind, span.name): span for span in REGISTRY.spans}


def test_exactly_the_declared_spans_come(spans: Mapping[tuple[str, str, str], Emitted]) -> None:
    assert set(spans) == set(declared())


def test_spans_have_the_declared_attributes_of_the_declared_types_and_events(
    spans: Mapping[tuple[str, str, str], Emitted],
) -> None:
    for identity, emitted in spans.items():
        span = declared()[identity]
        assert emitted.attributes.keys() <= span.attributes.keys(), identity
        required = {key for key, level in span.attributes.items() if level == "required"}
        always = {key for key, count in emitted.attributes.items() if count == emitted.count}
        assert required <= always, identity
        assert emitted.events - {"exception"} == set(span.events) - {"exception"}, identity
        for key, types in emitted.types.items():
            assert types == {REGISTRY.attributes[key].type}, key


def test_every_conditional_attribute_comes_on_some_span(spans: Mapping[tuple[str, str, str], Emitted]) -> None:
    conditional = {
        key for span in REGISTRY.spans for key, level in span.attributes.items() if level == "conditionally_required"
    }
    assert conditional <= {key for emitted in spans.values() for key in emitted.attributes}


def test_the_resource_of_each_service_is_declared(
    system: System, spans: Mapping[tuple[str, str, str], Emitted]
) -> None:
    declared_keys = {key for key, item in REGISTRY.attributes.items() if item.group == "registry.service"}
    for service, recorder in system.recorders.items():
        resources = {key for span in recorder.spans() for key in span.resource.attributes}
        assert {"service.name", "telemetry.sdk.language"} <= resources <= declared_keys, service


def test_the_metrics_of_each_service_are_the_declared_ones(
    system: System, spans: Mapping[tuple[str, str, str], Emitted]
) -> None:
    for service, url in system.urls.items():
        declared_metrics = {
            metric.name: metric for metric in REGISTRY.metrics.values() if metric.program in ("services", service)
        }
        exposed = dict(families(CLIENT.get(f"{url}{http.METRICS}").text))
        assert exposed.keys() == declared_metrics.keys(), service
        for name, labels in exposed.items():
            assert labels <= labels_of(declared_metrics[name]), name


def labels_of(metric: Metric) -> set[str]:
    own = {"implementation", "major", "minor", "patchlevel", "version"} if metric.name == "python_info" else set()
    return {*metric.labels, *own}


def families(text: str) -> Iterator[tuple[str, set[str]]]:
    """Name of each metric as the contract has it, and the labels of its samples."""
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, {label for sample in family.samples for label in sample.labels}
