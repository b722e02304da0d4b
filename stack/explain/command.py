"""`wct explain ALERT`: prints what an on-call engineer asks first about an alert."""

from rich.console import Console

from stack.assistant.sources import StackSources
from stack.explain.changes import stack_changes
from stack.explain.explain import Explainer, find_alert
from stack.kubernetes.client import connect
from stack.settings import load_here
from stack.settings.monitoring import monitoring_config


def explain(stack: str, alert: str, console: Console) -> None:
    """Prints the explanation of an alert.

    Raises:
        UserError: the alert does not exist, or the stack cannot be reached.
    """
    settings = load_here(stack)
    rule = find_alert(alert, monitoring_config(settings))
    client = connect(settings.cluster)
    explainer = Explainer(
        StackSources(settings=settings, client=client),
        lambda: stack_changes(client, settings.cluster.namespace),
    )
    for section in explainer.explain(rule):
        console.print(f"[bold]{section.title}[/]")
        for line in section.lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        console.print()
