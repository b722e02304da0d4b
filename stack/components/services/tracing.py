"""The section `tracing` of the settings: the settings of the tracing library that a stack decides on."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from contracts import endpoints
from contracts.section import Section
from lean_tracing import TracingSettings
from lean_tracing.values import ATTRIBUTES_FILTER, BAGGAGE_ENTRIES

_MAX_REQUEST_BYTES: Final = endpoints.OTLP_BATCH_BYTES - 2**20
"""The Collectors would drop longer requests: redaction lengthens some of them a little."""
_DEFAULTS: Final = TracingSettings()
_limits = TracingSettings.constraints


class Tracing(Section):
    """How the services trace; each key becomes the environment variable TRACING_<KEY>."""

    enabled: bool = _DEFAULTS.enabled
    """If off, the services record and export no spans."""
    sampling_rate: Annotated[float, *_limits("sampling_rate")] = _DEFAULTS.sampling_rate
    """Share of new traces that are recorded, 0 to 1. If the caller has sampled a trace, it stays sampled."""
    max_queue_size: Annotated[int, *_limits("max_queue_size")] = _DEFAULTS.max_queue_size
    """Most spans that wait for their export in a process."""
    max_batch_size: Annotated[int, *_limits("max_batch_size")] = _DEFAULTS.max_batch_size
    """Most spans in one export; it has fewer if they are long, see `maxRequestBytes`."""
    max_request_bytes: Annotated[int, *_limits("max_request_bytes"), Field(le=_MAX_REQUEST_BYTES)] = (
        _DEFAULTS.max_request_bytes
    )
    """Largest export before compression, in bytes; a single span that is longer is dropped and counted. A gRPC receiver
    accepts 4 MiB by default; the Collectors of the stack accept more."""
    delay_ms: Annotated[int, *_limits("delay_ms")] = _DEFAULTS.delay_ms
    """Longest time that a span waits for its batch to fill, in ms."""
    timeout_ms: Annotated[int, *_limits("timeout_ms"), Field(ge=100)] = _DEFAULTS.timeout_ms
    """Longest time of one export, in ms; the Collectors write the spans to disk before they answer."""
    sampling_rules: Annotated[str, *_limits("sampling_rules"), Field(examples=["GET /api/tasks=0.1;topic:*=1"])] = (
        _DEFAULTS.sampling_rules
    )
    """Sampling ratios of single routes and topics. The first rule that matches a new trace applies; `samplingRate`
    applies to all others."""
    attributes_filter: Annotated[str, Field(pattern=ATTRIBUTES_FILTER)] = _DEFAULTS.attributes_filter
    """Keys of attributes that never leave a service, separated by commas; a `*` at the end matches any ending."""
    baggage_entries: Annotated[str, Field(pattern=BAGGAGE_ENTRIES, examples=["tenant,region"])] = (
        _DEFAULTS.baggage_entries
    )
    """Names of the entries of W3C baggage that the services carry from a caller to the next service and into messages,
    separated by commas. Secrets and addresses in their values are redacted; all other entries are left out."""
    buffer_bytes: Annotated[int, *_limits("buffer_bytes")] = _DEFAULTS.buffer_bytes
    """Memory of each process for spans that the Collector could not accept yet, compressed, in bytes."""

    @model_validator(mode="after")
    def _check_batch_fits_queue(self) -> Self:
        if self.max_batch_size > self.max_queue_size:
            raise ValueError(f"maxBatchSize {self.max_batch_size} is more than maxQueueSize {self.max_queue_size}")
        return self

    def to_env(self) -> dict[str, str]:
        """Return the environment variables from which a service reads these settings, in the order of the keys."""
        environ = TracingSettings.model_validate(self.model_dump()).to_env()
        return {name: environ[name] for name in map(TracingSettings.variable, type(self).model_fields)}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings of a service with these environment variables.

        Raises:
            ValueError: a variable has a value that these settings refuse.
        """
        variables = {TracingSettings.variable(key) for key in cls.model_fields}
        settings = TracingSettings.from_env({name: value for name, value in environ.items() if name in variables})
        return cls.model_validate({key: getattr(settings, key) for key in cls.model_fields})
