"""The stacks whose rules the cases run."""

from stack.settings import Settings, load


def settings(*, sampled: bool) -> Settings:
    """Return the settings of a stack whose trace store has the counters of Jaeger, as the simulated metrics have."""
    stack = load("staging" if sampled else "dev")
    services = stack.services.model_copy(
        update={}
        if sampled
        else {
            name: getattr(stack.services, name).model_copy(update={"replicas": 1})
            for name in ("gateway", "task_manager", "crawler")
        }
    )
    traces = stack.traces.model_copy(update={"backend": "jaeger"})
    return stack.model_copy(update={"traces": traces, "services": services})
