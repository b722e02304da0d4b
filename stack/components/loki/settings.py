"""The section `logs` of the settings."""

from contracts.section import Quantity
from stack.components.shared.settings import Stateful


class Logs(Stateful):
    """Loki, the log store."""

    enabled: bool = True
    """If off, there is no log store: the services write their logs to standard output only."""
    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"
