"""Chooses the trace store that the settings name."""

import pulumi

from stack.components.trace_store.distributed_tempo import DistributedTempo
from stack.components.trace_store.interface import TraceStore, TraceStoreArgs
from stack.components.trace_store.jaeger import Jaeger
from stack.components.trace_store.tempo import Tempo


def trace_store(args: TraceStoreArgs, opts: pulumi.ResourceOptions | None = None) -> TraceStore:
    """Create the trace store that the settings name."""
    if args.settings.backend == "jaeger":
        return Jaeger("jaeger", args, opts)
    if args.settings.distributed:
        return DistributedTempo("tempo", args, opts)
    return Tempo("tempo", args, opts)
