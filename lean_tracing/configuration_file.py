"""OpenTelemetry's declarative configuration: a YAML file that replaces the `OTEL_*` variables.

The file is translated into the variables that it stands for, so that both have the same checks, limits and messages.
Format 1.0; the parts are those that the variables have: resource, propagator, limits, sampler, and a batch processor
with an OTLP exporter for spans and for log records.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from lean_tracing.environment import SettingsError

VARIABLE: Final = "OTEL_CONFIG_FILE"
_FORMAT: Final = re.compile(r"1\.\d+(-.*)?")
_REFERENCE: Final = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")
_LIMITS: Final = {
    "attribute_limits": "OTEL_{}",
    "tracer_provider.limits": "OTEL_SPAN_{}",
    "logger_provider.limits": "OTEL_LOGRECORD_{}",
}
_PER_ITEM: Final = ("EVENT_ATTRIBUTE_COUNT_LIMIT", "LINK_ATTRIBUTE_COUNT_LIMIT")
_NOT_OF_SPANS: Final = {name: f"OTEL_{name}" for name in _PER_ITEM} | {
    "EVENT_COUNT_LIMIT": "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "LINK_COUNT_LIMIT": "OTEL_SPAN_LINK_COUNT_LIMIT",
}
_SIGNALS: Final = {"tracer_provider": ("TRACES", "BSP"), "logger_provider": ("LOGS", "BLRP")}
_BATCH: Final = ("schedule_delay", "export_timeout", "max_queue_size", "max_export_batch_size")
_EXPORTERS: Final = {"otlp_grpc": "grpc", "otlp_http": "http/protobuf"}
_SAMPLERS: Final = {"always_on": "always_on", "always_off": "always_off", "trace_id_ratio_based": "traceidratio"}


def read_file(path: str, environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that the file stands for, and the keys of it that have no effect.

    Args:
        path: of the file.
        environ: values for the references `${NAME}` and `${NAME:-default}` in it.

    Raises:
        SettingsError: the file cannot be read, or a part of it is wrong.
    """
    try:
        import yaml
    except ImportError:
        raise SettingsError(f"{VARIABLE} needs PyYAML: install lean-tracing[config]") from None
    try:
        # All scalars are texts, as variables are.
        document = yaml.load(Path(path).read_text(), yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{VARIABLE}={path!r} cannot be read: {type(error).__name__}") from None
    return _File(document, environ).translate()


class _File:
    """One file, while it is read: each key that is used is taken out, so that the rest has no effect."""

    def __init__(self, document: object, environ: Mapping[str, str]) -> None:
        if not isinstance(document, dict):
            raise SettingsError(f"{VARIABLE}: the file is not a mapping")
        self._environ = environ
        self._document: dict[str, Any] = self._replaced(document)
        self._variables: dict[str, str] = {}

    def translate(self) -> tuple[dict[str, str], tuple[str, ...]]:
        version = self._take("file_format") or ""
        if not _FORMAT.fullmatch(version):
            raise SettingsError(f"{VARIABLE}: file_format is {version!r}: expected 1.0")
        self._set("OTEL_SDK_DISABLED", self._take("disabled"))
        self._resource()
        self._propagator()
        for place, pattern in _LIMITS.items():
            self._limits(place, pattern)
        self._sampler()
        for provider, (signal, batch) in _SIGNALS.items():
            self._provider(provider, signal, batch)
        return self._variables, tuple(_keys(self._document))

    def _replaced(self, node: Any) -> Any:
        if isinstance(node, dict):
            return {key: self._replaced(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._replaced(value) for value in node]

        def value(match: re.Match[str]) -> str:
            if match[1] is None:
                return "$"
            return self._environ.get(match[1], "") or match[2] or ""

        return _REFERENCE.sub(value, node)

    def _take(self, place: str) -> Any:
        """The value at a place such as `resource.attributes`, taken out; None if there is none."""
        *parents, name = place.split(".")
        node: Any = self._document
        for parent in parents:
            node = node.get(parent)
            if not isinstance(node, dict):
                return None
        value = node.pop(name, None)
        return None if value == "" else value

    def _set(self, variable: str, value: Any) -> None:
        if isinstance(value, (dict, list)):
            raise SettingsError(f"{VARIABLE}: expected a single value for {variable}")
        if value is not None:
            self._variables[variable] = value

    def _resource(self) -> None:
        pairs = [self._take("resource.attributes_list") or ""]
        for item in _list(self._take("resource.attributes"), "resource.attributes"):
            pairs.append(f"{quote(str(item.get('name')), safe='')}={quote(str(item.get('value', '')), safe='')}")
        self._set("OTEL_RESOURCE_ATTRIBUTES", ",".join(filter(None, pairs)))

    def _propagator(self) -> None:
        names = [name for item in _list(self._take("propagator.composite"), "propagator.composite") for name in item]
        listed = self._take("propagator.composite_list")
        if names or listed:
            self._set("OTEL_PROPAGATORS", ",".join([*names, *filter(None, [listed])]))

    def _limits(self, place: str, pattern: str) -> None:
        limits = self._take(place)
        for key, value in (limits or {}).items():
            name = key.upper()
            self._set(_NOT_OF_SPANS.get(name) or pattern.format(name), value)

    def _sampler(self) -> None:
        sampler, prefix = self._take("tracer_provider.sampler"), ""
        if sampler is None:
            return
        if "parent_based" in sampler:
            others = set(sampler["parent_based"] or {}) - {"root"}
            if others:
                raise SettingsError(f"{VARIABLE}: tracer_provider.sampler.parent_based.{min(others)} is not supported")
            sampler, prefix = (sampler["parent_based"] or {}).get("root") or {"always_on": ""}, "parentbased_"
        (name, options), *_ = sampler.items()
        if name not in _SAMPLERS:
            raise SettingsError(f"{VARIABLE}: the sampler {name} is not supported: expected {', '.join(_SAMPLERS)}")
        self._set("OTEL_TRACES_SAMPLER", prefix + _SAMPLERS[name])
        if options:
            self._set("OTEL_TRACES_SAMPLER_ARG", options.get("ratio"))

    def _provider(self, provider: str, signal: str, batch: str) -> None:
        processors = _list(self._take(f"{provider}.processors"), f"{provider}.processors")
        self._set(f"OTEL_{signal}_EXPORTER", "otlp" if processors else "none")
        if not processors:
            return
        if len(processors) > 1 or list(processors[0]) != ["batch"]:
            raise SettingsError(f"{VARIABLE}: {provider}.processors: expected one, of the kind batch")
        options = dict(processors[0]["batch"] or {})
        for name in _BATCH:
            self._set(f"OTEL_{batch}_{name.upper()}", options.pop(name, None) or None)
        exporter = options.pop("exporter", None) or {}
        if len(exporter) != 1 or not exporter.keys() <= _EXPORTERS.keys():
            expected = " or ".join(_EXPORTERS)
            raise SettingsError(f"{VARIABLE}: {provider}.processors[0].batch.exporter: expected {expected}")
        ((kind, of_exporter),) = exporter.items()
        self._set(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", _EXPORTERS[kind])
        left = self._exporter(signal, dict(of_exporter or {}))
        if options or left:
            self._document[f"{provider}.processors[0].batch"] = options | left

    def _exporter(self, signal: str, options: dict[str, Any]) -> dict[str, Any]:
        """Sets the variables of an exporter; returns the options that have no effect."""
        headers = [options.pop("headers_list", "")]
        for item in _list(options.pop("headers", None), "headers"):
            headers.append(f"{quote(str(item.get('name')), safe='')}={quote(str(item.get('value', '')), safe='')}")
        tls = dict(options.pop("tls", None) or {})
        for name, value in (
            ("ENDPOINT", options.pop("endpoint", None)),
            ("TIMEOUT", options.pop("timeout", None)),
            ("COMPRESSION", options.pop("compression", None)),
            ("HEADERS", ",".join(filter(None, headers))),
            ("CERTIFICATE", tls.pop("ca_file", None)),
        ):
            self._set(f"OTEL_EXPORTER_OTLP_{signal}_{name}", value or None)
        if options.get("encoding", "protobuf") == "protobuf":
            options.pop("encoding", None)
        return options | ({"tls": tls} if tls else {})


def _list(value: object, place: str) -> Sequence[dict[str, Any]]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SettingsError(f"{VARIABLE}: {place} is not a list of mappings")
    return value


def _keys(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all values that are left."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"
