"""The section `logs` of the settings."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.section import Quantity
from stack.components.shared.external_store import Credentials, ExternalStore
from stack.components.shared.object_storage import ObjectStorage
from stack.components.shared.object_storage import needed_secrets as bucket_secrets
from stack.components.shared.settings import Stateful

CREDENTIALS: Final = Credentials(otlp=secret_keys.LOGS_AUTHORIZATION, query=secret_keys.LOGS_QUERY_AUTHORIZATION)


class Logs(Stateful):
    """Loki, the log store."""

    enabled: bool = True
    """If off, there is no log store: the services write their logs to standard output only."""
    external: ExternalStore | None = None
    """A Loki that you run or rent, or any other receiver of OTLP logs. If set, the stack builds none. Not checked: its
    retention, its limits, and whether it keeps what it has acknowledged."""
    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    """Number of Lokis: one, or with `objectStorage` three or more. Then each line is on the volumes of three."""
    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"
    object_storage: ObjectStorage | None = None
    """Bucket for chunks and index; on Loki's volume if unset. Lines that are on the volume when it is set are not
    copied, and are no longer found."""

    @property
    def queried(self) -> bool:
        """Whether there is a log store with a query API: one that the stack did not build may have none."""
        return self.enabled and (self.external is None or self.external.query_url is not None)

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the external store or the bucket needs."""
        if not self.enabled:
            return ()
        return (*CREDENTIALS.needed(self.external), *bucket_secrets(self.object_storage))

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.external and (self.object_storage or self.replicas > 1):
            raise ValueError("objectStorage and replicas belong to a Loki that the stack builds; external is yours")
        if self.external and not self.enabled:
            raise ValueError("enabled is false, and external is set: remove one of them")
        if self.replicas > 1 and not self.object_storage:
            raise ValueError("several replicas need objectStorage: they share their chunks through it")
        if self.replicas == 2:
            raise ValueError("replicas: with two, Loki would refuse lines while one is unavailable; one, three or more")
        if self.object_storage and set("./_") & set(self.object_storage.prefix):
            raise ValueError("objectStorage.prefix: Loki takes letters, digits and dashes only")
        return self
