"""The probe's settings, which it reads from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from contracts import endpoints
from contracts.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Where the probe sends requests, and where it looks for their telemetry. A dataclass: pydantic takes 10 MiB."""

    gateway: str
    trace_backend: str
    """`tempo` or `jaeger`."""
    traces: str
    prometheus: str
    loki: str
    """Empty if the stack has no log store."""
    tail_sampling: bool
    interval_seconds: float
    port: int = endpoints.SERVICE_PORT

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Reads the settings from environment variables.

        Raises:
            UserError: names each variable that is missing or wrong.
        """
        required = ("GATEWAY_URL", "TRACE_BACKEND", "TRACES_URL", "PROMETHEUS_URL", "PROBE_INTERVAL_SECONDS")
        problems = [f"{name} is not set" for name in required if not environ.get(name)]
        backend, interval = environ.get("TRACE_BACKEND", ""), environ.get("PROBE_INTERVAL_SECONDS", "")
        if backend and backend not in endpoints.TRACE_QUERY:
            problems.append(f"TRACE_BACKEND={backend}: expected {' or '.join(endpoints.TRACE_QUERY)}")
        if interval and not interval.isdecimal():
            problems.append(f"PROBE_INTERVAL_SECONDS={interval}: expected a whole number of seconds")
        if problems:
            raise UserError("; ".join(problems))
        return cls(
            gateway=environ["GATEWAY_URL"],
            trace_backend=backend,
            traces=environ["TRACES_URL"],
            prometheus=environ["PROMETHEUS_URL"],
            loki=environ.get("LOKI_URL", ""),
            tail_sampling=environ.get("TAIL_SAMPLING", "false") == "true",
            interval_seconds=float(interval),
            port=int(environ.get("PORT", endpoints.SERVICE_PORT)),
        )
