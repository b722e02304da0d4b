"""The receiver counts spans by service, and compares what they hold."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from checks.bench.instrumentation import ALIKE, GIVEN
from checks.bench.peers import Receiver
from checks.bench.scenarios import SpanLoop, VariedSpanLoop
from tests.unit.checks.bench.datadog_bodies import TWO_SPANS
from tests.unit.checks.bench.recorder import Recorder

Attributes = dict[str, str | int | float]
NEW: Attributes = {"task.status": "new", "attempt": 1}
OTHER: Attributes = {"attempt": 2}


def _attribute(name: str, value: str | int | float) -> KeyValue:
    match value:
        case str():
            return KeyValue(key=name, value=AnyValue(string_value=value))
        case int():
            return KeyValue(key=name, value=AnyValue(int_value=value))
        case _:
            return KeyValue(key=name, value=AnyValue(double_value=value))


def _received(*spans: tuple[str, Attributes]) -> tuple[int, int, int]:
    receiver = Receiver()
    for name, attributes in spans:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.append(_attribute("service.name", "shop"))
        span = resource.scope_spans.add().spans.add(name=name)
        span.attributes.extend(_attribute(*item) for item in attributes.items())
        receiver.Export(request, None)
    return receiver.received()["shop"]


def test_spans_are_counted_and_their_order_does_not_matter() -> None:
    first, second = (ALIKE, NEW), (ALIKE, OTHER)
    assert _received(first, second) == _received(second, first)
    assert _received(first, second)[0] == 2


def test_attributes_that_a_library_adds_change_the_contents_and_not_the_values() -> None:
    spans, contents, values = _received((ALIKE, NEW))
    extended = _received((ALIKE, {**NEW, "process_id": 7}))
    assert extended[0] == spans
    assert extended[1] != contents
    assert extended[2] == values


def test_a_number_has_the_same_value_in_each_type() -> None:
    assert _received((ALIKE, {"price": 7}))[2] == _received((ALIKE, {"price": 7.0}))[2]
    assert _received((ALIKE, {"price": 7}))[1] != _received((ALIKE, {"price": 7.0}))[1]


@pytest.mark.parametrize("other", [{"task.status": "old", "attempt": 1}, {"task.status": "new"}, {}])
def test_another_value_or_a_missing_attribute_is_noticed(other: Attributes) -> None:
    assert _received((ALIKE, other))[2] != _received((ALIKE, NEW))[2]


def test_datadogs_format_gives_the_same_values() -> None:
    receiver = Receiver()
    receiver.take_datadog(TWO_SPANS)
    assert receiver.received()["shop"] == (2, 0, _received((ALIKE, NEW))[2])


def test_spans_of_other_names_are_only_counted() -> None:
    assert _received(("GET /items", NEW)) == (1, 0, 0)


def test_the_given_attributes_are_those_of_the_scenarios() -> None:
    recorder = Recorder()
    for scenario in (SpanLoop, VariedSpanLoop):
        scenario(recorder).run(1)
    assert set().union(*recorder.spans) == GIVEN
