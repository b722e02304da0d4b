"""Settings: the required defaults, and one clear message for wrong values."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags
from pydantic import Field

from checks.harness.receiver import receiving
from lean_tracing import SettingsError, TracingSettings, start_tracing
from lean_tracing.environment import EnvironmentSettings, Synonym


def test_defaults_are_those_of_the_requirements() -> None:
    settings = TracingSettings.from_env({})
    assert (settings.max_queue_size, settings.max_batch_size) == (2048, 512)
    assert (settings.delay_ms, settings.timeout_ms) == (5000, 30000)
    assert settings.enabled
    assert settings.sampling_rate == 1.0


def test_environment_is_read() -> None:
    settings = TracingSettings.from_env(
        {
            "TRACING_ENABLED": "false",
            "TRACING_SAMPLING_RATE": "0.25",
            "TRACING_MAX_QUEUE_SIZE": "",  # empty counts as unset
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
            "OTEL_SERVICE_NAME": "gateway",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=dev, service.version=1%2C2",
            "UNRELATED": "x",
        },
    )
    assert not settings.active
    assert settings.sampling_rate == 0.25
    assert settings.max_queue_size == 2048
    assert settings.resource_attributes == {"deployment.environment.name": "dev", "service.version": "1,2"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "ParentBased_Always_Off"),
        ("OTEL_PROPAGATORS", "TraceContext,Baggage"),
        ("OTEL_PROPAGATORS", "None"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "GZIP"),
        ("OTEL_TRACES_EXPORTER", "None"),
        ("OTEL_LOGS_EXPORTER", "OTLP"),
    ],
)
def test_names_out_of_a_set_are_read_in_any_case(variable: str, value: str) -> None:
    assert TracingSettings.from_env({variable: value}) == TracingSettings.from_env({variable: value.lower()})


def test_settings_come_back_from_the_variables_that_they_become() -> None:
    environ = {
        "TRACING_ENABLED": "false",
        "TRACING_HASH_KEY": "a key for tests",
        "TRACING_SAMPLING_RATE": "0.25",
        "TRACING_SAMPLING_RULES": "GET /a=0.10 , topic:*=1",
        "TRACING_ATTRIBUTES_FILTER": "user_agent.*, url.path",
        "TRACING_BUFFER_BYTES": "65536",
        "TRACING_BAGGAGE_ENTRIES": "tenant,region",
        "OTEL_SERVICE_NAME": "gateway",
        "OTEL_RESOURCE_ATTRIBUTES": "a=1%2C2,b=%3D",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": certifi.where(),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4317",
        "OTEL_PROPAGATORS": "none",
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET,PURGE",
    }
    settings = TracingSettings.from_env(environ)
    written = settings.to_env()
    assert written.keys() == environ.keys()
    assert written["TRACING_SAMPLING_RULES"] == environ["TRACING_SAMPLING_RULES"], "not formatted in another way"
    assert TracingSettings.from_env(written) == settings
    assert TracingSettings().to_env() == {}


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TRACING_ENABLED", "perhaps", "true or false"),
        ("TRACING_SAMPLING_RATE", "1.5", "a number from 0 to 1"),
        ("TRACING_SAMPLING_RATE", "nan", "a number from 0 to 1"),
        ("TRACING_MAX_QUEUE_SIZE", "0", "1 to 1000000"),
        ("TRACING_MAX_BATCH_SIZE", "4096", "at most TRACING_MAX_QUEUE_SIZE, which is 2048"),
        ("TRACING_DELAY_MS", "-1", "1 to 600000"),
        ("TRACING_TIMEOUT_MS", "soon", "1 to 600000"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "an http or https URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port", "an http or https URL"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no-equals-sign", "key=value"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "1 to 600000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "x", "1 to 600000"),
        ("TRACING_BUFFER_BYTES", "1", "65536 to 1073741824"),
        ("TRACING_BREAKER_FAILURES", "0", "1 to 1000"),
        ("TRACING_BREAKER_RESET_MS", "99", "100 to 600000"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "a number from 0 to 1"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext and baggage, or none"),
        ("OTEL_PROPAGATORS", "none,baggage", "tracecontext and baggage, or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "expected grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "none or gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "readable PEM file"),
        ("OTEL_LOGS_EXPORTER", "console", "none or otlp"),
        ("TRACING_ATTRIBUTES_FILTER", "a*b", "attribute keys"),
        ("TRACING_BAGGAGE_ENTRIES", "tenant, a b", "names of baggage entries"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0", "1 to 1048576"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1", "0 to 10000"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many", "0 to 10000"),
    ],
)
def test_wrong_value_names_variable_value_and_range(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        TracingSettings.from_env({variable: value})
    message = str(error.value)
    assert f"{variable}=" in message
    assert value in message
    assert expected in message
    assert "\n" not in message


def test_all_wrong_values_come_in_one_message_and_secrets_are_hidden() -> None:
    with pytest.raises(SettingsError) as error:
        TracingSettings.from_env({"TRACING_HASH_KEY": "short", "TRACING_DELAY_MS": "x"})
    assert "TRACING_HASH_KEY=(hidden)" in str(error.value)
    assert "TRACING_DELAY_MS='x'" in str(error.value)
    assert "short" not in str(error.value)


def test_the_librarys_variable_wins_and_each_is_named_when_wrong() -> None:
    both = {"TRACING_DELAY_MS": "10", "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_BSP_MAX_QUEUE_SIZE": "4096"}
    settings = TracingSettings.from_env(both, defaults={"TRACING_MAX_QUEUE_SIZE": "9"})
    assert (settings.delay_ms, settings.max_queue_size) == (10, 4096)
    with pytest.raises(SettingsError, match=r"^OTEL_BSP_SCHEDULE_DELAY='x' is not valid"):
        TracingSettings.from_env({"OTEL_BSP_SCHEDULE_DELAY": "x"})


def test_a_short_queue_shortens_the_batch_that_was_not_set() -> None:
    assert TracingSettings.from_env({"TRACING_MAX_QUEUE_SIZE": "100"}).max_batch_size == 100


def test_one_wrong_value_is_one_problem() -> None:
    with pytest.raises(SettingsError, match=r"^TRACING_SAMPLING_RATE='2' is not valid: expected a number from 0 to 1$"):
        TracingSettings.from_env({"TRACING_SAMPLING_RATE": "2"})


def test_problems_between_variables_come_with_the_others() -> None:
    with pytest.raises(SettingsError) as error:
        TracingSettings.from_env(
            {
                "TRACING_MAX_QUEUE_SIZE": "10",
                "TRACING_MAX_BATCH_SIZE": "11",
                "TRACING_DELAY_MS": "x",
                "TRACING_ENABLED": "?",
            },
        )
    for name in ("TRACING_MAX_BATCH_SIZE='11'", "TRACING_DELAY_MS='x'", "TRACING_ENABLED='?'"):
        assert name in str(error.value)


def test_headers_are_read_and_never_shown() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20hunter2, x-tenant=a"}
    settings = TracingSettings.from_env(environ)
    assert {name: value.get_secret_value() for name, value in settings.headers.items()} == {
        "authorization": "Bearer hunter2",
        "x-tenant": "a",
    }
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
    for wrong in ("hunter2", "a=b%0Ahunter2", "hunter 2=x"):
        with pytest.raises(SettingsError) as error:
            TracingSettings.from_env({"OTEL_EXPORTER_OTLP_HEADERS": wrong})
        assert "OTEL_EXPORTER_OTLP_HEADERS=(hidden)" in str(error.value)
        assert "hunter" not in str(error.value)


def test_credentials_in_a_wrong_url_are_hidden() -> None:
    with pytest.raises(SettingsError) as error:
        TracingSettings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://ada:hunter2@collector"})
    assert "hunter2" not in str(error.value)


def test_certificate_is_of_use_only_with_tls(tmp_path: Path) -> None:
    roots = Path(certifi.where())
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(roots), "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4317"}
    assert TracingSettings.from_env(environ).certificate == roots
    with pytest.raises(SettingsError, match="only with an https"):
        TracingSettings.from_env({**environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"})
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(SettingsError, match="SSLError"):
        TracingSettings.from_env({**environ, "OTEL_EXPORTER_OTLP_CERTIFICATE": str(broken)})


def test_lists_are_read() -> None:
    settings = TracingSettings.from_env(
        {"OTEL_PROPAGATORS": "baggage, baggage", "TRACING_ATTRIBUTES_FILTER": "user_agent.*, url.path,"},
    )
    assert settings.propagators == ("baggage",)
    assert settings.filtered_attributes == ("user_agent.*", "url.path")
    assert TracingSettings.from_env({"OTEL_PROPAGATORS": "none"}).propagators == ()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "unknown_service"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = the%20shop ,c=d"}, "the shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service%2Ename=shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop", "OTEL_SERVICE_NAME": "till"}, "till"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop", "OTEL_SERVICE_NAME": " "}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name="}, "unknown_service"),
    ],
)
def test_the_service_may_be_named_by_the_resource_attributes(environ: dict[str, str], name: str) -> None:
    assert TracingSettings.from_env(environ).service_name == name
    expected = "gateway" if name == "unknown_service" else name
    assert TracingSettings.from_env(environ, defaults={"OTEL_SERVICE_NAME": "gateway"}).service_name == expected


def test_a_service_named_by_its_resource_attributes_sends_that_name() -> None:
    settings = TracingSettings.from_env({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop"})
    exporter = InMemorySpanExporter()
    tracing = start_tracing(settings, exporter=exporter)
    with tracing.traces.span("work"):
        pass
    tracing.shutdown()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "shop"


def test_a_signals_own_variables_win_for_that_signal() -> None:
    settings = TracingSettings.from_env(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://both:4317",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4317",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=b",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "a=c",
            "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "gzip",
            "OTEL_BSP_SCHEDULE_DELAY": "7",
            "OTEL_BLRP_SCHEDULE_DELAY": "8",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "9",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "10",
        },
    )
    logs = settings.of_logs
    assert (settings.endpoint, logs.endpoint) == ("http://traces:4317", "http://both:4317")
    assert [part.headers["a"].get_secret_value() for part in (settings, logs)] == ["b", "c"]
    assert (settings.compression, logs.compression) == ("none", "gzip")
    assert (settings.delay_ms, logs.delay_ms) == (7, 8)
    assert (settings.timeout_ms, logs.timeout_ms) == (9, 10)
    assert settings.ignored == ()
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_LOGS_COMPRESSION='zip' is not valid"):
        TracingSettings.from_env({"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "zip"})


def test_limits_have_their_general_and_their_special_names() -> None:
    environ = {"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "6"}
    settings = TracingSettings.from_env(environ)
    assert (settings.span_attribute_count_limit, settings.attribute_value_length_limit) == (5, 6)
    environ |= {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "7", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "8"}
    settings = TracingSettings.from_env(environ)
    assert (settings.span_attribute_count_limit, settings.attribute_value_length_limit) == (7, 8)


@pytest.mark.parametrize("value", ["1", "yes", "on", "enabled", "True", " TRUE ", "false", "FALSE", ""])
def test_only_true_disables_and_any_other_text_is_logged(value: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = TracingSettings.from_env({"OTEL_SDK_DISABLED": value, "OTEL_TRACES_EXPORTER": "none"})
    assert settings.sdk_disabled == (value.strip().lower() == "true")
    start_tracing(settings).shutdown()
    unclear = value in ("1", "yes", "on", "enabled")
    assert ("OTEL_SDK_DISABLED is set to neither true nor false" in caplog.text) == unclear


_COUNTS = ("SPAN_ATTRIBUTE", "EVENT_ATTRIBUTE", "LINK_ATTRIBUTE", "LOGRECORD_ATTRIBUTE")


@pytest.mark.parametrize("special", ["", *_COUNTS])
def test_count_limits_are_obeyed_by_all_that_have_attributes(special: str) -> None:
    many = {f"key {number}": number for number in range(50)}
    environ = {"OTEL_ATTRIBUTE_COUNT_LIMIT": "5", "OTEL_LOGS_EXPORTER": "otlp"}
    environ |= {f"OTEL_{special}_COUNT_LIMIT": "7"} if special else {}
    with receiving() as receiver:
        tracing = start_tracing(TracingSettings.from_env(environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}))
        other = SpanContext(7, 8, True, TraceFlags(1))
        with tracing.traces.span("work", attributes=many) as span:
            span.add_event("seen", many)
            span.add_link(other, many)
        assert tracing.log_handler
        logger = logging.Logger("app")
        logger.addHandler(tracing.log_handler)
        logger.warning("seen", extra=many)
        tracing.shutdown()
        (arrived,) = receiver.spans()
        (request,) = receiver.log_requests()
    (record,) = request.resource_logs[0].scope_logs[0].log_records
    for name, item, number in zip(
        _COUNTS, (arrived, arrived.events[0], arrived.links[0], record), (50, 50, 50, 51), strict=True
    ):
        limit = 7 if name == special else 5
        assert (len(item.attributes), item.dropped_attributes_count) == (limit, number - limit), name


def test_log_records_have_a_value_length_of_their_own() -> None:
    environ = {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "6", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"}
    settings = TracingSettings.from_env(environ)
    assert (settings.attribute_value_length_limit, settings.of_logs.attribute_value_length_limit) == (6, 9)
    settings = TracingSettings.from_env({"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "9"})
    assert (settings.attribute_value_length_limit, settings.of_logs.attribute_value_length_limit) == (9, 16_384)


def test_one_wrong_variable_for_several_limits_is_named_once() -> None:
    with pytest.raises(SettingsError) as error:
        TracingSettings.from_env({"OTEL_ATTRIBUTE_COUNT_LIMIT": "-1"})
    assert str(error.value).count("OTEL_ATTRIBUTE_COUNT_LIMIT") == 1


def test_no_exporter_means_no_spans() -> None:
    assert not TracingSettings.from_env({"OTEL_TRACES_EXPORTER": "none"}).active
    assert TracingSettings.from_env({"OTEL_TRACES_EXPORTER": "otlp"}).active
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER='zipkin' is not valid: expected none or otlp"):
        TracingSettings.from_env({"OTEL_TRACES_EXPORTER": "zipkin"})


_SIGNALS = ("TRACES_", "METRICS_", "LOGS_", "")
# OpenTelemetry's environment variables in its specification and its Python SDK 1.45, November 2026.
_STANDARD = sorted({
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_CONFIG_FILE",
    *(f"OTEL_{processor}_{what}" for processor in ("BSP", "BLRP") for what in (
        "EXPORT_TIMEOUT", "MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE", "SCHEDULE_DELAY",
    )),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_EXPERIMENTAL_CONFIG_FILE",
    *(f"OTEL_EXPORTER_OTLP_{signal}{what}" for signal in _SIGNALS for what in (
        "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "COMPRESSION", "ENDPOINT", "HEADERS", "INSECURE", "PROTOCOL",
        "TIMEOUT",
    )),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT", "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_LOGS_EXPORTER", "OTEL_LOG_LEVEL",
    "OTEL_METRICS_EXEMPLAR_FILTER", "OTEL_METRICS_EXPORTER", "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_PROPAGATORS",
    "OTEL_PYTHON_ID_GENERATOR", "OTEL_PYTHON_LOGGER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER",
    "OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED", "OTEL_PYTHON_EXCLUDED_URLS",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
})  # fmt: skip
_README = Path(__file__).parents[3] / "lean_tracing/README.md"


@pytest.mark.parametrize("variable", _STANDARD)
def test_every_standard_variable_is_obeyed_or_named(variable: str, caplog: pytest.LogCaptureFixture) -> None:
    obeyed = variable in {*_VARIABLES, "OTEL_CONFIG_FILE"}
    assert (f"`{variable}`" in _README.read_text()) == obeyed, "the README lists those that are obeyed, and no others"
    if obeyed:
        return
    settings = TracingSettings.from_env({variable: "some value", "OTEL_TRACES_EXPORTER": "none"})
    assert settings.ignored == (variable,)
    start_tracing(settings).shutdown()
    assert f"set, but not supported and without effect: {variable}" in caplog.text
    assert "some value" not in caplog.text
    assert TracingSettings.from_env({variable: " "}).ignored == ()


def test_variables_that_are_obeyed_by_chance_are_not_named() -> None:
    environ = {"OTEL_METRICS_EXPORTER": "none", "OTEL_PYTHON_CONTEXT": "contextvars_context", "PATH": "/bin"}
    assert TracingSettings.from_env(environ).ignored == ()


def test_a_service_names_what_it_does_not_support_in_a_line_of_its_log() -> None:
    environment = {**os.environ, "OTEL_METRICS_EXPORTER": "otlp", "PORT": "1", "HOST": "192.0.2.1"}
    ended = subprocess.run(
        [sys.executable, "-m", "service.gateway"], env=environment, capture_output=True, text=True, timeout=60
    )
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert any(line["message"].endswith("without effect: OTEL_METRICS_EXPORTER") for line in lines), ended.stderr


def test_missing_value_is_named() -> None:
    class Demanding(EnvironmentSettings):
        database: str = Field(alias="DATABASE_URL", description="a SQLAlchemy URL")

    with pytest.raises(SettingsError, match="DATABASE_URL is not set: expected a SQLAlchemy URL"):
        Demanding.from_env({})


_VARIABLES = [
    name
    for field in TracingSettings.model_fields.values()
    for name in (field.alias or "", *(data.variable for data in field.metadata if isinstance(data, Synonym)))
]


@given(
    st.dictionaries(
        st.sampled_from(_VARIABLES),
        st.text()
        | st.integers().map(str)
        | st.floats().map(str)
        | st.sampled_from(["a=b", "http://[", "none", "/*=1"]),
    )
)
def test_any_environment_is_accepted_or_refused_clearly(environ: dict[str, str]) -> None:
    try:
        TracingSettings.from_env(environ)
        refusal = None
    except SettingsError as error:
        refusal = str(error)
    assert refusal is None or any(name in refusal for name in environ)


def test_the_sdk_does_not_fail_before_the_message() -> None:
    environment = {**os.environ, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "abc", "TRACING_SAMPLING_RATE": "2"}
    ended = subprocess.run(
        [sys.executable, "-m", "service.gateway"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    for wrong in ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT='abc' is not valid", "TRACING_SAMPLING_RATE='2' is not valid"):
        assert wrong in ended.stderr


@pytest.mark.parametrize("name", ["blob-bin", "Blob-BIN", "bad!name", "x$y"])
def test_a_header_that_grpc_would_refuse_with_every_request_is_refused_at_start(name: str) -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        TracingSettings.from_env({"OTEL_EXPORTER_OTLP_HEADERS": f"{name}=1"})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "content-encoding", "connection", "te"])
def test_a_header_that_tells_where_a_request_ends_is_the_exporters(name: str) -> None:
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        TracingSettings.from_env({"OTEL_EXPORTER_OTLP_HEADERS": f"{name}=5"})
