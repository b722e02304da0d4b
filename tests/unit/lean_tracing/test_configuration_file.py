"""The declarative configuration sets what the variables set, and names what it cannot."""

from contextlib import suppress
from pathlib import Path

import pytest

from lean_tracing import SettingsError, TracingSettings

FILE = """
file_format: "1.0"
disabled: false
resource:
  attributes:
    - {name: service.name, value: "${SERVICE:-orders}"}
    - {name: "team", value: "a, b=c"}
  attributes_list: "deployment.environment.name=${env:STAGE}"
propagator:
  composite: [{tracecontext: }, {baggage: }]
attribute_limits: {attribute_value_length_limit: 4096, attribute_count_limit: 100}
tracer_provider:
  limits: {attribute_count_limit: 64, event_count_limit: 16, event_attribute_count_limit: 8}
  sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.25}}}}
  processors:
    - batch:
        schedule_delay: 1000
        max_queue_size: 4096
        max_export_batch_size: 256
        exporter:
          otlp_http:
            endpoint: http://collector:4318/v1/traces
            headers: [{name: authorization, value: "Bearer ${TOKEN}"}]
            compression: gzip
            timeout: 5000
logger_provider:
  processors: [{batch: {exporter: {otlp_grpc: {endpoint: "http://collector:4317"}}}}]
"""


def _read(tmp_path: Path, text: str, **environ: str) -> TracingSettings:
    path = tmp_path / "otel.yaml"
    path.write_text(text, encoding="utf-8")
    return TracingSettings.from_env({"OTEL_CONFIG_FILE": str(path), **environ})


def test_every_part_is_read(tmp_path: Path) -> None:
    environ = {"STAGE": "test", "TOKEN": "$1"}
    settings = _read(tmp_path, FILE, **environ, OTEL_SERVICE_NAME="ignored", TRACING_HASH_KEY="a key for tests")
    logs = settings.of_logs
    assert settings.ignored == ()
    assert settings.service_name == "orders"
    assert settings.resource_attributes == {
        "service.name": "orders", "team": "a, b=c", "deployment.environment.name": "test",
    }  # fmt: skip
    assert settings.propagators == ("tracecontext", "baggage")
    assert (settings.attribute_value_length_limit, settings.span_attribute_count_limit) == (4096, 64)
    assert (settings.span_event_count_limit, settings.event_attribute_count_limit) == (16, 8)
    assert settings.link_attribute_count_limit == 100
    assert (settings.sampler, settings.root_ratio) == ("parentbased_traceidratio", 0.25)
    assert (settings.delay_ms, settings.max_queue_size, settings.max_batch_size) == (1000, 4096, 256)
    assert (settings.protocol, settings.url("traces")) == ("http/protobuf", "http://collector:4318/v1/traces")
    assert settings.headers["authorization"].get_secret_value() == "Bearer $1"
    assert (settings.compression, settings.timeout_ms) == ("gzip", 5000)
    assert settings.exports_logs
    assert (logs.protocol, logs.endpoint, logs.compression) == ("grpc", "http://collector:4317", "none")
    assert settings.hash_key is not None, "the library's own variables stay"


@pytest.mark.parametrize(
    ("sampler", "name"), [("always_off: ", "always_off"), ("parent_based: ", "parentbased_always_on")]
)
def test_other_samplers(tmp_path: Path, sampler: str, name: str) -> None:
    assert _read(tmp_path, f'file_format: "1.0"\ntracer_provider: {{sampler: {{{sampler}}}}}\n').sampler == name


def test_without_processors_nothing_is_exported(tmp_path: Path) -> None:
    settings = _read(tmp_path, 'file_format: "1.0"\n', OTEL_TRACES_EXPORTER="otlp", OTEL_LOGS_EXPORTER="otlp")
    assert not settings.active
    assert not settings.exports_logs


def test_keys_without_effect_are_named(tmp_path: Path) -> None:
    text = FILE.replace("timeout: 5000", "timeout: 5000\n            tls: {key_file: k.pem}")
    settings = _read(tmp_path, f"{text}\nmeter_provider:\n  readers: []\nlog_level: debug\n")
    assert settings.ignored == (
        "meter_provider.readers",
        "log_level",
        "tracer_provider.processors[0].batch.exporter.otlp_http.tls.key_file",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a mapping"),
        ("a: [", "cannot be read"),
        ('file_format: "0.3"', "file_format is '0.3': expected 1.0"),
        ("file_format: '1.0'\nresource: {attributes: 7}", "resource.attributes has the wrong form: expected a list"),
        (FILE.replace("otlp_http", "console"), "expected otlp_grpc or otlp_http"),
        (FILE.replace("- batch:", "- simple:"), "expected one, of the kind batch"),
        (FILE.replace("trace_id_ratio_based: {ratio: 0.25}", "jaeger_remote: {}"), "jaeger_remote is not supported"),
        (FILE.replace("{root:", "{local_parent_sampled: {always_off: }, root:"), "local_parent_sampled is not"),
        (FILE.replace("ratio: 0.25", "ratio: 25"), "OTEL_TRACES_SAMPLER_ARG='25' is not valid"),
        (FILE.replace("compression: gzip", "compression: zstd"), "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION='zstd'"),
        (FILE.replace("propagator:", "disabled: [a]\npropagator:"), "single value for OTEL_SDK_DISABLED"),
        ("disabled: false", "file_format is None"),
        (FILE.replace('"a, b=c"', "[a, b]"), "attributes[1].value has the wrong form: expected a single value"),
        (FILE.replace('name: "team", ', ""), "resource.attributes[1] has the wrong form: expected a name"),
        (FILE.replace("${TOKEN}", "${1TOKEN:-secret-token}"), "'${1TOKEN' begins no reference"),
        (FILE.replace("${TOKEN}", "${TOKEN:?missing}"), "'${TOKEN' begins no reference"),
        (FILE.replace("${TOKEN}", "${sys:TOKEN}"), "'${sys' begins no reference"),
        (FILE + "x: &x [" + "1," * 200 + "]\ny: [" + "*x," * 200 + "]", "expected at most 10000 values"),
        (FILE + "x: " + "[" * 400 + "]" * 400, "cannot be read: RecursionError"),
        (FILE + "#" * (1 << 20), "too large"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        _read(tmp_path, text, STAGE="test", TOKEN="secret-token")
    assert message in str(refused.value)
    assert "secret-token" not in str(refused.value)


_BATCH = "tracer_provider.processors.0.batch"
_SHAPES = [
    "resource", "resource.attributes_list", "propagator", "propagator.composite", "attribute_limits",
    "attribute_limits.attribute_count_limit", "tracer_provider", "tracer_provider.limits", "tracer_provider.sampler",
    "tracer_provider.sampler.parent_based", "tracer_provider.sampler.parent_based.root", "tracer_provider.processors",
    "tracer_provider.sampler.trace_id_ratio_based", "tracer_provider.processors.0", _BATCH, f"{_BATCH}.exporter",
    f"{_BATCH}.exporter.otlp_http", f"{_BATCH}.exporter.otlp_http.headers", f"{_BATCH}.exporter.otlp_http.tls",
]  # fmt: skip


@pytest.mark.parametrize("shape", ["text", "[text]", "{a: text}", "[{a: [text]}]", "{a: {b: text}, c: }"])
@pytest.mark.parametrize("place", _SHAPES)
def test_a_wrong_shape_anywhere_is_refused_or_named(tmp_path: Path, place: str, shape: str) -> None:
    text = shape
    for key in reversed(place.split(".")):
        text = f"[{text}]" if key == "0" else f"{{{key}: {text}}}"
    with suppress(SettingsError):
        assert _read(tmp_path, f'file_format: "1.0"\n{text[1:-1]}\n').ignored, "neither refused nor named"


@pytest.mark.parametrize("nothing", ["", "null", "~", '"${UNSET}"'])
@pytest.mark.parametrize("place", [*_SHAPES[:12], "disabled", "tracer_provider.limits.event_count_limit", "log_level"])
def test_null_is_the_same_as_nothing(tmp_path: Path, place: str, nothing: str) -> None:
    if place in ("tracer_provider.sampler.parent_based", "tracer_provider.sampler.parent_based.root"):
        default = "parentbased_always_on"
    else:
        default = "parentbased_traceidratio"
    text = nothing
    for key in reversed(place.split(".")):
        text = f"{{{key}: {text}}}"
    settings = _read(tmp_path, f'file_format: "1.0"\n{text[1:-1]}\n')
    assert settings.ignored == ()
    assert settings.sampler == default
    assert settings.resource_attributes == {}


def test_without_propagators_none_is_used(tmp_path: Path) -> None:
    assert _read(tmp_path, 'file_format: "1.0"\n').propagators == ()
    listed = _read(tmp_path, 'file_format: "1.0"\npropagator: {composite_list: "baggage, tracecontext"}\n')
    assert listed.propagators == ("baggage", "tracecontext")


def test_the_type_of_an_attribute_is_named_unless_it_is_text(tmp_path: Path) -> None:
    items = "{name: a, value: 7, type: int}, {name: b, value: null, type: string}"
    settings = _read(tmp_path, f'file_format: "1.0"\nresource: {{attributes: [{items}]}}\n')
    assert settings.resource_attributes == {"a": "7", "b": ""}
    assert settings.ignored == ("resource.attributes[0].type",)


def test_text_that_is_no_unicode_is_replaced(tmp_path: Path) -> None:
    text = 'file_format: "1.0"\nresource: {attributes: [{name: ö, value: "${BROKEN}"}]}\n'
    assert _read(tmp_path, text, BROKEN="a\udcff").resource_attributes == {"ö": "a?"}


def test_a_limit_may_be_zero(tmp_path: Path) -> None:
    text = 'file_format: "1.0"\ntracer_provider: {limits: {event_count_limit: 0, link_count_limit: 0, unknown: 1}}\n'
    settings = _read(tmp_path, text)
    assert (settings.span_event_count_limit, settings.span_link_count_limit) == (0, 0)
    assert settings.ignored == ("tracer_provider.limits.unknown",)


def test_a_file_that_does_not_exist_is_named() -> None:
    with pytest.raises(SettingsError, match="OTEL_CONFIG_FILE='/no/such/file' cannot be read: FileNotFoundError"):
        TracingSettings.from_env({"OTEL_CONFIG_FILE": "/no/such/file"})
