"""The telemetry contract: what the services and the Collectors emit, read from `registry.yaml`."""

from contracts.telemetry.registry import Attribute, Metric, Registry, SpanType, load_registry

__all__ = ["Attribute", "Metric", "Registry", "SpanType", "load_registry"]
