"""Chooses the variant that is measured, and imports only its libraries."""

import importlib.metadata
from collections.abc import Mapping
from typing import Final

from checks.bench.instrumentation import Instrumentation, Mode, Variant, transport


def load(variant: Variant, mode: Mode, service: str, endpoint: str) -> Instrumentation:
    """Return the variant's instrumentation; import only its own libraries.

    Args:
        variant: which one.
        mode: whether spans are recorded.
        service: service name of its spans.
        endpoint: URL of a receiver, for the variant's transport.
    """
    if variant == "bare":
        from checks.bench.bare import Bare

        return Bare()
    if variant == "stock":
        from checks.bench.stock import Stock

        return Stock(mode, service, endpoint)
    if variant in ("ddtrace", "ddtrace-otlp"):
        from checks.bench.alternatives.ddtrace import Ddtrace

        return Ddtrace(service, endpoint, over_otlp=variant == "ddtrace-otlp")
    if variant == "logfire":
        from checks.bench.alternatives.logfire import Logfire

        return Logfire(service, endpoint)
    from checks.bench.ours import Ours

    if variant == "native":
        from local.native_part import load_native_part

        load_native_part()
    return Ours(mode, service, endpoint, native=variant == "native", over_http=transport(variant) == "http")


_APPLICATION: Final = ("fastapi", "sqlalchemy", "confluent-kafka")
_SDK: Final = ("opentelemetry-api", "opentelemetry-sdk")
_PACKAGES: Final[Mapping[Variant, tuple[str, ...]]] = {
    "bare": (),
    "stock": (
        *_SDK,
        "opentelemetry-exporter-otlp-proto-grpc",
        "opentelemetry-instrumentation-fastapi",
        "opentelemetry-instrumentation-sqlalchemy",
        "opentelemetry-instrumentation-confluent-kafka",
    ),
    "ours": _SDK,
    "native": _SDK,
    "grpc": (*_SDK, "grpcio"),
    "ddtrace": ("ddtrace",),
    "ddtrace-otlp": ("ddtrace",),
    "logfire": ("logfire", *_SDK, "opentelemetry-exporter-otlp-proto-http", "opentelemetry-instrumentation-fastapi"),
}


def versions(variant: Variant) -> dict[str, str]:
    """Return the versions of the packages that a variant measures, in the environment of this process."""
    packages = {name: importlib.metadata.version(name) for name in (*_APPLICATION, *_PACKAGES[variant])}
    if variant in ("ours", "native", "grpc"):
        from lean_tracing.version import NAME, VERSION

        packages[NAME] = VERSION
    return packages
