"""The probe's settings, which it reads from environment variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from contracts import endpoints
from contracts.errors import UserError
from stack.clients.access import Access


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Where the probe sends requests, and where it looks for their telemetry. A dataclass: pydantic takes 10 MiB."""

    environment: str
    """Name of the stack's environment."""
    gateway: str
    gateway_ca: str
    """PEM of the authority that signed the gateway's certificate; empty for the public ones."""
    gateway_key: str
    """API key; empty if the gateway needs none."""
    collector: str
    """URL of the Collectors' receiver of OTLP over HTTP."""
    collector_ca: str
    """PEM of the authority that signed the Collectors' certificates; empty for the public ones."""
    otlp_token: str
    trace_backend: str
    """`tempo` or `jaeger`."""
    traces: str
    prometheus: str
    loki: str
    """Empty if the stack has no log store."""
    traces_access: Access | None
    """None for a trace store of the stack, as the others for its other stores."""
    prometheus_access: Access | None
    loki_access: Access | None
    tail_sampling: bool
    interval_seconds: float
    visible_seconds: float
    """The time within which telemetry must be visible after its task is completed."""
    certificates: str = ""
    """Folder with the ends of the stack's certificates; empty if it has none."""
    host: str = ""
    """Address to listen on; empty for all."""
    port: int = endpoints.SERVICE_PORT

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Reads the settings from environment variables.

        Raises:
            UserError: names each variable that is missing or wrong.
        """
        required = (
            "ENVIRONMENT",
            "GATEWAY_URL",
            "COLLECTOR_URL",
            "OTLP_TOKEN",
            "TRACE_BACKEND",
            "TRACES_URL",
            "PROMETHEUS_URL",
            "PROBE_INTERVAL_SECONDS",
            "PROBE_VISIBLE_SECONDS",
        )
        problems = [f"{name} is not set" for name in required if not environ.get(name)]
        backend = environ.get("TRACE_BACKEND", "")
        if backend and backend not in endpoints.TRACE_QUERY:
            problems.append(f"TRACE_BACKEND={backend}: expected {' or '.join(endpoints.TRACE_QUERY)}")
        for name in ("PROBE_INTERVAL_SECONDS", "PROBE_VISIBLE_SECONDS"):
            if (seconds := environ.get(name)) and not seconds.isdecimal():
                problems.append(f"{name}={seconds}: expected a whole number of seconds")
        if problems:
            raise UserError("; ".join(problems))
        return cls(
            environment=environ["ENVIRONMENT"],
            gateway=environ["GATEWAY_URL"],
            gateway_ca=environ.get("GATEWAY_CA", ""),
            gateway_key=environ.get("GATEWAY_KEY", ""),
            collector=environ["COLLECTOR_URL"],
            collector_ca=environ.get("COLLECTOR_CA", ""),
            otlp_token=environ["OTLP_TOKEN"],
            trace_backend=backend,
            traces=environ["TRACES_URL"],
            prometheus=environ["PROMETHEUS_URL"],
            loki=environ.get("LOKI_URL", ""),
            traces_access=_access("TRACES", environ),
            prometheus_access=_access("PROMETHEUS", environ),
            loki_access=_access("LOKI", environ),
            tail_sampling=environ.get("TAIL_SAMPLING", "false") == "true",
            interval_seconds=float(environ["PROBE_INTERVAL_SECONDS"]),
            visible_seconds=float(environ["PROBE_VISIBLE_SECONDS"]),
            certificates=environ.get("CERTIFICATES", ""),
            host=environ.get("HOST", ""),
            port=int(environ.get("PORT", endpoints.SERVICE_PORT)),
        )


def _access(prefix: str, environ: Mapping[str, str]) -> Access | None:
    """Reads the access to a store that the stack did not build."""
    headers, ca = environ.get(f"{prefix}_HEADERS", ""), environ.get(f"{prefix}_CA", "")
    authorization = environ.get(f"{prefix}_AUTHORIZATION", "")
    if not (headers or ca or authorization or environ.get(f"{prefix}_URL", "").startswith("https:")):
        return None
    return Access(
        headers={**json.loads(headers or "{}"), **({"Authorization": authorization} if authorization else {})}, ca=ca
    )
