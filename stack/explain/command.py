"""`wct explain [ALERT]`: prints what an on-call engineer asks first, about an alert or about the whole stack."""

from rich.console import Console

from stack.assistant.sources import StackSources
from stack.explain.changes import stack_changes
from stack.explain.explain import Explainer, find_alert, rules_by_name
from stack.explain.logs import fatal_errors
from stack.explain.readiness import unready_pods
from stack.kubernetes.client import connect
from stack.settings import load_here
from stack.settings.monitoring import monitoring_config


def explain(stack: str, alert: str | None, console: Console) -> None:
    """Prints the explanation of an alert; without an alert, what is wrong now.

    Raises:
        UserError: the alert does not exist, or the stack cannot be reached.
    """
    settings = load_here(stack)
    config = monitoring_config(settings)
    rule = find_alert(alert, config) if alert else None
    client = connect(settings.cluster)
    namespace = settings.cluster.namespace
    explainer = Explainer(
        StackSources(settings=settings, client=client),
        lambda: stack_changes(client, namespace),
        lambda: unready_pods(client, namespace),
        lambda: fatal_errors(client, namespace),
    )
    for section in explainer.explain(rule) if rule else explainer.overview(rules_by_name(config)):
        console.print(f"[bold]{section.title}[/]")
        for line in section.lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        console.print()
