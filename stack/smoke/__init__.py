"""One request through a running stack, followed from the front door to the trace store and the span metrics."""
