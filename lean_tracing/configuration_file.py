"""OpenTelemetry's declarative configuration: a YAML file that replaces the `OTEL_*` variables.

The file is translated into the variables that it stands for, so that both have the same checks, limits and messages.
Format 1.0; the parts are those that the variables have: resource, propagator, limits, sampler, and a batch processor
with an OTLP exporter for spans and for log records.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

from lean_tracing.environment import SettingsError

VARIABLE: Final = "OTEL_CONFIG_FILE"
_MAX_BYTES: Final = 1 << 20
# Aliases let a short file stand for a long one.
_MAX_VALUES: Final = 10_000
_FORMAT: Final = re.compile(r"1\.\d+(-.*)?")
_REFERENCE: Final = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}|\$\{[^}\n]*\}")
_NULL: Final = re.compile(r"(?:~|null|Null|NULL|)\Z")
_LIMITS: Final = {
    "attribute_limits": "OTEL_{}",
    "tracer_provider.limits": "OTEL_SPAN_{}",
    "logger_provider.limits": "OTEL_LOGRECORD_{}",
}
_ATTRIBUTE_LIMITS: Final = ("attribute_value_length_limit", "attribute_count_limit")
_SPAN_LIMITS: Final = {
    "event_count_limit": "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "link_count_limit": "OTEL_SPAN_LINK_COUNT_LIMIT",
    "event_attribute_count_limit": "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "link_attribute_count_limit": "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
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

    class Loader(yaml.BaseLoader):
        """All scalars are texts, as variables are, apart from null."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
    Loader.add_constructor("tag:yaml.org,2002:null", lambda _loader, _node: None)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{VARIABLE}={path!r} cannot be read: {type(error).__name__}") from None
    if len(content) > _MAX_BYTES:
        raise SettingsError(f"{VARIABLE}={path!r} is too large: expected at most {_MAX_BYTES} bytes")
    try:
        return _File(yaml.load(content, Loader), environ).translate()
    except (UnicodeError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f"{VARIABLE}={path!r} cannot be read: {type(error).__name__}") from None


class _File:
    """One file, while it is read: each key that is used is taken out, so that the rest has no effect."""

    def __init__(self, document: object, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._values = 0
        self._document = self._replaced(document)
        if not isinstance(self._document, dict):
            raise SettingsError(f"{VARIABLE}: the file is not a mapping")
        self._variables: dict[str, str] = {}
        # What is left of mappings in lists, by their places.
        self._left: dict[str, object] = {}

    def translate(self) -> tuple[dict[str, str], tuple[str, ...]]:
        version = self._take("file_format")
        if not isinstance(version, str) or not _FORMAT.fullmatch(version):
            raise SettingsError(f"{VARIABLE}: file_format is {version!r}: expected 1.0")
        self._set("OTEL_SDK_DISABLED", self._take("disabled"))
        self._resource()
        self._propagator()
        self._limits()
        self._sampler()
        for provider, (signal, batch) in _SIGNALS.items():
            self._provider(provider, signal, batch)
        return self._variables, tuple(_keys(self._document | self._left))

    def _replaced(self, node: Any) -> Any:
        """The node with the values of variables in place of the references to them, and None for an empty text."""
        self._values += 1
        if self._values > _MAX_VALUES:
            raise SettingsError(f"{VARIABLE}: expected at most {_MAX_VALUES} values, those of aliases included")
        if isinstance(node, dict):
            return {str(key): self._replaced(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self._replaced(value) for value in node]
        return None if node is None else _REFERENCE.sub(self._referenced, node) or None

    def _referenced(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] is None:
            shown = match[0].partition(":")[0]  # a default may be a secret
            raise SettingsError(f"{VARIABLE}: {shown!r} begins no reference: expected ${{NAME}} or ${{NAME:-default}}")
        return self._environ.get(match[1], "") or match[2] or ""

    def _take(self, place: str) -> Any:
        """The value at a place such as `resource.attributes`, taken out; None if there is none."""
        *parents, name = place.split(".")
        node = self._document
        for depth, parent in enumerate(parents, 1):
            node = _mapping(node.get(parent), ".".join(parents[:depth]))
        return node.pop(name, None)

    def _set(self, variable: str, value: Any) -> None:
        if isinstance(value, (dict, list)):
            raise SettingsError(f"{VARIABLE}: expected a single value for {variable}")
        if value is not None:
            self._variables[variable] = value

    def _pairs(self, listed: object, items: object, place: str) -> str | None:
        """A list as the variables have it, of a text that is one already and of mappings with `name` and `value`."""
        pairs = [_text(listed, f"{place}_list")]
        for number, item in enumerate(_list(items, place)):
            position = f"{place}[{number}]"
            name, value = (_text(item.pop(key, None), f"{position}.{key}") for key in ("name", "value"))
            if not name:
                _refuse(position, "a name")
            if item.get("type") == "string":
                del item["type"]
            self._left[position] = item
            pairs.append("=".join(quote(text, safe="", errors="replace") for text in (name, value)))
        return ",".join(filter(None, pairs)) or None

    def _resource(self) -> None:
        listed, items = self._take("resource.attributes_list"), self._take("resource.attributes")
        self._set("OTEL_RESOURCE_ATTRIBUTES", self._pairs(listed, items, "resource.attributes"))

    def _propagator(self) -> None:
        place = "propagator.composite"
        names = [name for item in _list(self._take(place), place) for name in item]
        listed = _text(self._take(f"{place}_list"), f"{place}_list")
        # Without propagators none is used, says the format.
        self._set("OTEL_PROPAGATORS", ",".join([*names, *filter(None, [listed])]) or "none")

    def _limits(self) -> None:
        for place, pattern in _LIMITS.items():
            for name in _ATTRIBUTE_LIMITS:
                self._set(pattern.format(name.upper()), self._take(f"{place}.{name}"))
        for name, variable in _SPAN_LIMITS.items():
            self._set(variable, self._take(f"tracer_provider.limits.{name}"))

    def _sampler(self) -> None:
        place = "tracer_provider.sampler"
        sampler = self._take(place)
        if sampler is None:
            return
        name, options = _kind(sampler, place)
        prefix = ""
        if name == "parent_based":
            place, prefix = f"{place}.parent_based", "parentbased_"
            root = options.pop("root", None) or {"always_on": None}
            if options:
                raise SettingsError(f"{VARIABLE}: {place}.{min(options)} is not supported")
            name, options = _kind(root, f"{place}.root")
        if name not in _SAMPLERS:
            raise SettingsError(f"{VARIABLE}: the sampler {name} is not supported: expected {', '.join(_SAMPLERS)}")
        self._set("OTEL_TRACES_SAMPLER", prefix + _SAMPLERS[name])
        self._set("OTEL_TRACES_SAMPLER_ARG", options.pop("ratio", None))
        self._left[f"{place}.{name}"] = options

    def _provider(self, provider: str, signal: str, batch: str) -> None:
        place = f"{provider}.processors"
        processors = _list(self._take(place), place)
        self._set(f"OTEL_{signal}_EXPORTER", "otlp" if processors else "none")
        if not processors:
            return
        if len(processors) > 1 or list(processors[0]) != ["batch"]:
            _refuse(place, "one, of the kind batch")
        place = f"{place}[0].batch"
        options = _mapping(processors[0]["batch"], place)
        for name in _BATCH:
            self._set(f"OTEL_{batch}_{name.upper()}", options.pop(name, None))
        kind, of_exporter = _kind(options.pop("exporter", None), f"{place}.exporter")
        if kind not in _EXPORTERS:
            _refuse(f"{place}.exporter", " or ".join(_EXPORTERS))
        self._set(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", _EXPORTERS[kind])
        self._exporter(signal, of_exporter, f"{place}.exporter.{kind}")
        self._left[place] = options

    def _exporter(self, signal: str, options: dict[str, Any], place: str) -> None:
        tls = _mapping(options.pop("tls", None), f"{place}.tls")
        headers = self._pairs(options.pop("headers_list", None), options.pop("headers", None), f"{place}.headers")
        for name, value in (
            ("ENDPOINT", options.pop("endpoint", None)),
            ("TIMEOUT", options.pop("timeout", None)),
            ("COMPRESSION", options.pop("compression", None)),
            ("HEADERS", headers),
            ("CERTIFICATE", tls.pop("ca_file", None)),
        ):
            self._set(f"OTEL_EXPORTER_OTLP_{signal}_{name}", value)
        if options.get("encoding") == "protobuf":
            del options["encoding"]
        self._left[place] = options | {"tls": tls}


def _refuse(place: str, expected: str) -> NoReturn:
    raise SettingsError(f"{VARIABLE}: {place} has the wrong form: expected {expected}")


def _text(value: object, place: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse(place, "a single value")
    return value


def _mapping(value: object, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse(place, "a mapping")
    return value


def _kind(value: object, place: str) -> tuple[str, dict[str, Any]]:
    """The only key of a mapping, which says what it is, and its options."""
    kinds = _mapping(value, place)
    if len(kinds) != 1:
        _refuse(place, "a mapping with one key")
    ((kind, options),) = kinds.items()
    return kind, _mapping(options, f"{place}.{kind}")


def _list(value: object, place: str) -> Sequence[dict[str, Any]]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        _refuse(place, "a list of mappings")
    return value


def _keys(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all values that are left."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{path}{key}.")
        elif value is not None:
            yield f"{path}{key}"
