"""The section `traces` of the settings."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts import secret_keys
from contracts.section import Quantity
from stack.components.shared.external_store import Credentials, ExternalStore
from stack.components.shared.object_storage import ObjectStorage
from stack.components.shared.object_storage import needed_secrets as bucket_secrets
from stack.components.shared.settings import Stateful, Workload

CREDENTIALS: Final = Credentials(otlp=secret_keys.TRACES_AUTHORIZATION, query=secret_keys.TRACES_QUERY_AUTHORIZATION)


class Distributed(Workload):
    """Tempo in parts, with Kafka as their log: it acknowledges only spans that are in Kafka, and so survives a kill.

    The single binary acknowledges spans before it writes them to disk; if it is killed, the last seconds are lost.
    """

    replicas: Annotated[int, Field(ge=1, le=50)] = 2
    """Number of each: distributors, live stores, block builders, queriers; with more than one, there are two query
    frontends. Do not lower it: the partition of a removed live store would have no reader."""
    memory: Quantity = "1Gi"
    volume: Quantity = "10Gi"
    """Size of the volume of each live store and block builder."""

    @property
    def query_frontends(self) -> int:
        """Number of query frontends: two share the queries of any number of queriers."""
        return min(self.replicas, 2)


class Traces(Stateful):
    """The trace store: Tempo or Jaeger."""

    backend: Literal["tempo", "jaeger"] = "tempo"
    """The trace store; with `external`, the query API that it has, if any."""
    external: ExternalStore | None = None
    """A trace store that you run or rent. If set, the stack builds none; its retention, its sizes and its availability
    are yours, and the accounting of spans ends when its receiver has acknowledged them."""
    memory: Quantity = "1Gi"
    volume: Quantity = "10Gi"
    object_storage: ObjectStorage | None = None
    """Bucket for Tempo's blocks; on Tempo's volume if unset."""
    distributed: Distributed | None = None
    """Tempo in parts, for production; a single binary if unset. `memory` and `volume` are the single binary's."""

    @property
    def queried(self) -> bool:
        """Whether the store has a query API: only one that the stack did not build may have none."""
        return self.external is None or self.external.query_url is not None

    @property
    def durable(self) -> bool:
        """Whether every span that the store has acknowledged survives a kill of the store."""
        return self.backend == "jaeger" or self.external is not None or self.distributed is not None

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the external store or the bucket needs."""
        return (*CREDENTIALS.needed(self.external), *bucket_secrets(self.object_storage))

    @model_validator(mode="after")
    def _check_backend_supports(self) -> Self:
        if self.external and (self.object_storage or self.distributed):
            raise ValueError("objectStorage and distributed belong to a Tempo that the stack builds; external is yours")
        if self.backend != "tempo" and (self.object_storage or self.distributed):
            raise ValueError(f"objectStorage and distributed are Tempo's; backend is {self.backend!r}")
        if self.distributed and not self.object_storage:
            raise ValueError("distributed needs objectStorage: the parts share their blocks through it")
        return self
