"""Chooses the trace store that the settings name."""

import pulumi

from collector.pipeline import OtlpTarget
from stack.components.encryption.clients import otlp_secrets, otlp_target, query_access
from stack.components.shared.store import QueryApi, StoreAddresses, external_addresses
from stack.components.trace_store.distributed_tempo import DistributedTempo
from stack.components.trace_store.interface import TraceStore, TraceStoreArgs
from stack.components.trace_store.jaeger import Jaeger
from stack.components.trace_store.settings import CREDENTIALS
from stack.components.trace_store.tempo import Tempo


def trace_store(args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> StoreAddresses:
    """Return the addresses of the trace store that the settings name; create it, unless it is an external one."""
    if external := args.settings.external:
        return external_addresses(external, CREDENTIALS)
    store = _create(args, opts)
    return StoreAddresses(
        otlp=store.otlp_endpoint.apply(lambda endpoint: otlp_target(OtlpTarget(endpoint), args.protection)),
        otlp_secrets=otlp_secrets(args.protection),
        queries=QueryApi(url=store.query_url, access=query_access(args.protection)),
    )


def _create(args: TraceStoreArgs, opts: pulumi.ResourceOptions | None) -> TraceStore:
    if args.settings.backend == "jaeger":
        return Jaeger("jaeger", args, opts)
    if args.settings.distributed:
        return DistributedTempo("tempo", args, opts)
    return Tempo("tempo", args, opts)
