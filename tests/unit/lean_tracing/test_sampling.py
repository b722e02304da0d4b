"""Sampling: who decides, which rule applies, and that all services agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from lean_tracing import SettingsError, TracingSettings, start_tracing
from lean_tracing.propagation import Propagator
from lean_tracing.sampling import TraceSampler, parse_rules
from lean_tracing.start import build_sampler
from lean_tracing.testing import Recorder

PROPAGATOR = Propagator()

TRACE = "0af7651916cd43dd8448eb211c80319c"


def _settings(**environ: str) -> TracingSettings:
    return TracingSettings.from_env(environ)


def _ratio(rules: str, **attributes: str) -> float:
    """The ratio that applies, measured with trace ids that are spread evenly."""
    sampler = build_sampler(_settings(TRACING_SAMPLING_RULES=rules, TRACING_SAMPLING_RATE="0.25"))
    names = {"method": "http.request.method", "path": "url.path", "topic": "messaging.destination.name"}
    given_attributes = {names[name]: value for name, value in attributes.items()}
    kept = [part for part in range(20) if sampler.samples((part << 64) // 20 + 1, given_attributes)]
    return len(kept) / 20


def test_sampling_rate_zero_keeps_only_what_the_caller_sampled(recorder: Recorder) -> None:
    rules = "topic:*=0;/*=0"
    tracing = start_tracing(TracingSettings(sampling_rate=0.0, sampling_rules=rules), exporter=recorder.exporter)
    with tracing.traces.span("own") as own:
        assert not own.is_recording()
    for flags, kept in (("01", True), ("00", False), ("03", True)):
        caller = PROPAGATOR.from_kafka([("traceparent", f"00-{TRACE}-b7ad6b7169203331-{flags}")])
        with tracing.traces.span("called", context=caller, attributes={"url.path": "/x"}) as span:
            assert span.is_recording() is kept
    tracing.shutdown()


def test_a_dropped_root_drops_its_children_despite_their_rules(recorder: Recorder) -> None:
    settings = TracingSettings(sampling_rate=0.0, sampling_rules="topic:t=1")
    tracing = start_tracing(settings, exporter=recorder.exporter)
    topic = {"messaging.destination.name": "t"}
    with tracing.traces.span("root"), tracing.traces.span("send", attributes=topic) as child:
        assert not child.is_recording()
    with tracing.traces.span("send", attributes=topic) as root, tracing.traces.span("child") as child:
        assert root.is_recording()
        assert child.is_recording()
    tracing.shutdown()


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({"method": "GET", "path": "/api/tasks"}, 0.1),
        ({"method": "POST", "path": "/api/tasks"}, 0.25),
        ({"method": "DELETE", "path": "/api/tasks/7/pages"}, 0.5),
        ({"topic": "task-status"}, 1.0),
        ({"topic": "task-status-dead-letter"}, 0.0),
        ({"topic": "requests"}, 0.25),
        ({}, 0.25),
    ],
)
def test_first_rule_that_matches_gives_the_ratio(attributes: dict[str, str], ratio: float) -> None:
    rules = "GET /api/tasks=0.1; topic:task-status=1, topic:task-*=0; /api/tasks/*=0.5; /api/tasks/7/*=0"
    assert _ratio(rules, **attributes) == pytest.approx(ratio, abs=0.05)


@pytest.mark.parametrize(
    "rule", ["/a", "GET=1", "get /a=1", "/a=2", "/a=-0.1", "/a=nan", "/a=", "topic:=1", "=1", "a=b"]
)
def test_wrong_rule_is_named(rule: str) -> None:
    with pytest.raises(SettingsError) as error:
        _settings(TRACING_SAMPLING_RULES=f"/good=1;{rule}")
    assert "TRACING_SAMPLING_RULES=" in str(error.value)
    assert f"rule {rule!r}" in str(error.value)


def test_rules_need_a_sampler_that_follows_parents() -> None:
    with pytest.raises(SettingsError, match=r"OTEL_TRACES_SAMPLER='always_on' is not valid.*parentbased_"):
        _settings(TRACING_SAMPLING_RULES="/a=1", OTEL_TRACES_SAMPLER="always_on")


@pytest.mark.parametrize(
    ("environ", "ratio"),
    [
        ({}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5", "TRACING_SAMPLING_RATE": "0.2"},
            0.2,
        ),
        ({"OTEL_TRACES_SAMPLER": "always_off", "TRACING_SAMPLING_RATE": "0.2"}, 0.2),
    ],
)
def test_the_librarys_variables_win_over_the_standard_ones(environ: dict[str, str], ratio: float) -> None:
    assert _settings(**environ).root_ratio == ratio


@pytest.mark.parametrize(("sampler", "kept"), [("always_off", False), ("parentbased_always_off", True)])
def test_a_sampler_not_parent_based_decides_alone(recorder: Recorder, sampler: str, kept: bool) -> None:
    tracing = start_tracing(_settings(OTEL_TRACES_SAMPLER=sampler), exporter=recorder.exporter)
    caller = PROPAGATOR.from_kafka([("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")])
    with tracing.traces.span("called", context=caller) as span:
        assert span.is_recording() is kept
    tracing.shutdown()


@given(trace_id=st.integers(1, 2**128 - 1), ratio=st.floats(0, 1))
def test_decision_is_that_of_every_other_ratio_sampler(trace_id: int, ratio: float) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "any").decision
    assert TraceSampler(ratio).samples(trace_id, None) is (theirs is Decision.RECORD_AND_SAMPLE)


def test_endless_new_paths_do_not_grow_the_memory() -> None:
    sampler = TraceSampler(0.5, parse_rules("/a/*=1"))
    for number in range(5000):
        attributes = {"http.request.method": "GET", "url.path": f"/a/{number}"}
        assert sampler.samples(2**64 - 1, attributes)
    assert len(sampler._bounds) <= 1024


@given(st.text())
def test_any_text_is_rules_or_refused(text: str) -> None:
    try:
        parse_rules(text)
        refusal = "rule"
    except ValueError as error:
        refusal = str(error)
    assert "rule" in refusal
