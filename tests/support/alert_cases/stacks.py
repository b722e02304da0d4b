"""The stacks whose rules the cases run."""

from typing import Final, Literal, get_args

from contracts.services import PACKAGES
from dashboards.rules import RuleGroup, groups
from stack.settings import Settings, load, parse
from stack.settings.monitoring import monitoring_config
from tests.support.program import pipeline_config

Stack = Literal["plain", "with samplers", "with own services"]
"""`with own services`: the services are the users' own, and only their spans are known; their Grafana is, too."""
STACKS: Final[tuple[Stack, ...]] = get_args(Stack)


def settings(stack: Stack) -> Settings:
    """Return the settings of a stack whose trace store has the counters of Jaeger, as the simulated metrics have."""
    if stack == "with own services":
        grafana = {"url": "https://grafana.example.com", "external": {"api": {}}}
        images = {"service": "registry.example.com/service:1"}
        return parse(pipeline_config(traces={"backend": "jaeger"}, grafana=grafana, images=images), "test")
    loaded = load("staging" if stack == "with samplers" else "dev")
    services = loaded.services.model_copy(
        update={}
        if stack == "with samplers"
        else {PACKAGES[name]: size.model_copy(update={"replicas": 1}) for name, size in loaded.services.sizes.items()}
    )
    # As in prod.
    stores = load("prod") if stack == "with samplers" else loaded
    traces = loaded.traces.model_copy(update={"backend": "jaeger", "distributed": stores.traces.distributed})
    logs = loaded.logs.model_copy(
        update={"object_storage": stores.logs.object_storage, "replicas": stores.logs.replicas}
    )
    return loaded.model_copy(update={"traces": traces, "logs": logs, "services": services})


def rules_of(stack: Stack) -> tuple[RuleGroup, ...]:
    """Return the rules of a stack."""
    return groups(monitoring_config(settings(stack)))
