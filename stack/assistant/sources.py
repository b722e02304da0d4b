"""What the tools of the assistant and `wct explain` read of a stack."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.release.journal import Journal, JournalStore
from stack.settings import Settings
from stack.stores import Stores


class Sources(Protocol):
    """What the tools read."""

    @property
    def settings(self) -> Settings: ...

    def prometheus(self) -> AbstractContextManager[PrometheusClient]: ...

    def traces(self) -> AbstractContextManager[TraceStoreClient]: ...

    def loki(self) -> AbstractContextManager[LokiClient]: ...

    def journal(self) -> Journal | None:
        """The state of the rollout; None if none is under way and none was rolled back."""


@dataclass(frozen=True, kw_only=True)
class StackSources(Stores):
    """The sources of a deployed stack."""

    def journal(self) -> Journal | None:
        """Returns the state of the rollout; None if none is under way and none was rolled back."""
        return JournalStore(client=self.client, namespace=self.settings.cluster.namespace).read()
