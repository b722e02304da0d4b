"""The section `logs` of the settings."""

from typing import Final

from contracts import secret_keys
from contracts.section import Quantity
from stack.components.shared.settings import Stateful
from stack.components.shared.store import Credentials, ExternalStore

CREDENTIALS: Final = Credentials(otlp=secret_keys.LOGS_AUTHORIZATION, query=secret_keys.LOGS_QUERY_AUTHORIZATION)


class Logs(Stateful):
    """Loki, the log store."""

    enabled: bool = True
    """If off, there is no log store: the services write their logs to standard output only."""
    external: ExternalStore | None = None
    """A Loki that you run or rent. If set, the stack builds none."""
    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the external store needs."""
        return CREDENTIALS.needed(self.external) if self.enabled else ()
