"""How the services trace: the part of the tracing library's settings that a stack decides."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from contracts import endpoints
from contracts.section import Section
from service.tracing import TracingSettings
from service.tracing.values import ATTRIBUTES_FILTER

# Longer requests would not pass the Collectors, which add a little where they redact.
_MAX_REQUEST_BYTES: Final = endpoints.OTLP_BATCH_BYTES - 2**20
_DEFAULTS: Final = TracingSettings()
_limits = TracingSettings.constraints


class Tracing(Section):
    """How the services trace; each key becomes the environment variable TRACING_<KEY>."""

    enabled: bool = _DEFAULTS.enabled
    """Off: no span is made and nothing is exported."""
    sampling_rate: Annotated[float, *_limits("sampling_rate")] = _DEFAULTS.sampling_rate
    """Share of new traces recorded, 0 to 1; a trace that arrives sampled stays sampled."""
    max_queue_size: Annotated[int, *_limits("max_queue_size")] = _DEFAULTS.max_queue_size
    """Spans that wait for export in a process."""
    max_batch_size: Annotated[int, *_limits("max_batch_size")] = _DEFAULTS.max_batch_size
    """Spans in one export, at most; fewer where they are long, see `maxRequestBytes`."""
    max_request_bytes: Annotated[int, *_limits("max_request_bytes"), Field(le=_MAX_REQUEST_BYTES)] = (
        _DEFAULTS.max_request_bytes
    )
    """Bytes of one export, at most, before compression; a span that alone is longer is refused and counted. A receiver
    of gRPC takes 4 MiB by default; the stack's Collectors take more."""
    delay_ms: Annotated[int, *_limits("delay_ms")] = _DEFAULTS.delay_ms
    """Longest time a span waits for its batch to fill, in ms."""
    timeout_ms: Annotated[int, *_limits("timeout_ms"), Field(ge=100)] = _DEFAULTS.timeout_ms
    """Longest time one export may take, in ms; the Collectors write to their disks before they answer."""
    sampling_rules: Annotated[str, *_limits("sampling_rules"), Field(examples=["GET /api/tasks=0.1;topic:*=1"])] = (
        _DEFAULTS.sampling_rules
    )
    """Ratios of single routes and topics, the first that matches a new trace; `samplingRate` for all others."""
    attributes_filter: Annotated[str, Field(pattern=ATTRIBUTES_FILTER)] = _DEFAULTS.attributes_filter
    """Keys of attributes that never leave a service, separated by commas; a `*` at the end stands for any rest."""
    buffer_bytes: Annotated[int, *_limits("buffer_bytes")] = _DEFAULTS.buffer_bytes
    """Memory of each process for spans that the Collector could not take yet, in bytes, compressed."""

    @model_validator(mode="after")
    def _batch_fits_queue(self) -> Self:
        if self.max_batch_size > self.max_queue_size:
            raise ValueError(f"maxBatchSize {self.max_batch_size} is more than maxQueueSize {self.max_queue_size}")
        return self

    def to_env(self) -> dict[str, str]:
        """The environment variables from which a service reads these settings, in the order of the keys."""
        environ = TracingSettings.model_validate(self.model_dump()).to_env()
        return {name: environ[name] for name in map(TracingSettings.variable, type(self).model_fields)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """The settings of a service with these environment variables.

        Raises:
            ValueError: a variable has a value that these settings refuse.
        """
        variables = {TracingSettings.variable(key) for key in cls.model_fields}
        settings = TracingSettings.from_env({name: value for name, value in environ.items() if name in variables})
        return cls.model_validate({key: getattr(settings, key) for key in cls.model_fields})
