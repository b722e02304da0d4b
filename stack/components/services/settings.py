"""The sections `services`, `tasks`, `images` and `release` of the settings."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.section import ImageReference, Retention, Section
from contracts.services import PACKAGES
from stack.components.services.tracing import Tracing
from stack.components.shared.settings import Workload


class Services(Section):
    """The task-manager: its services, and their sizes."""

    enabled: bool = True
    """If off, the stack is the telemetry pipeline alone, with dashboards and alerts, for services of your own: no
    services, no Postgres, and Kafka only if spans pass through it."""
    gateway: Workload = Workload(memory="192Mi")
    """Receives the requests of users and starts their traces."""
    task_manager: Workload = Workload(memory="256Mi")
    """Owns the tasks: consumes `task-status`, writes to Postgres."""
    crawler: Workload = Workload(memory="192Mi")
    """Fetches the pages."""

    @property
    def sizes(self) -> dict[str, Workload]:
        """By the name of the service."""
        return {name: getattr(self, package) for name, package in PACKAGES.items()}


class Tasks(Section):
    """The tasks in the database."""

    retention: Retention | None = None
    """Time for which a user's task is kept after its creation, in hours; tasks that have not ended stay. If unset, they
    are kept for ever. Tasks of the probe and of smoke checks are always deleted after an hour."""


class Images(Section):
    """Images that are built from this repository."""

    service: ImageReference
    """Image of the services, with a tag or digest, built from `service/Dockerfile`. The local stack builds its
    own."""

    @model_validator(mode="after")
    def _check_not_latest(self) -> Self:
        if self.service.endswith(":latest"):
            raise ValueError(f"service {self.service!r}: a deployment of `latest` cannot be repeated; name a version")
        return self


class Split(Section):
    """Pods of a service, by track."""

    stable: Annotated[int, Field(ge=0, le=200)]
    """Pods of the stable version that ran before the rollout."""
    baseline: Annotated[int, Field(ge=0, le=200)] = 0
    """Pods of the stable version that start together with the canary."""
    canary: Annotated[int, Field(ge=0, le=200)] = 0
    """Pods of the new version, which the settings describe."""

    @property
    def total(self) -> int:
        """All pods."""
        return self.stable + self.baseline + self.canary

    @model_validator(mode="after")
    def _check_has_pods(self) -> Self:
        if not self.total:
            raise ValueError("no pod of either version: nothing would answer")
        return self


class Release(Section):
    """State of a rollout: the stable version, which runs next to the one in the settings. `make rollout` writes it."""

    image: ImageReference
    """Image of the stable version."""
    tracing: Tracing
    """Tracing settings of the stable version."""
    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of new traces that the new version records in this step; `tracing.samplingRate` if unset."""
    gateway: Split
    """Pods of the gateway."""
    task_manager: Split
    """Pods of the task-manager."""
    crawler: Split
    """Pods of the web-crawler."""

    @property
    def splits(self) -> dict[str, Split]:
        """By the name of the service."""
        return {name: getattr(self, package) for name, package in PACKAGES.items()}

    def with_splits(self, splits: Mapping[str, Split]) -> Self:
        """Return this release with other pods of each service."""
        return self.model_copy(update={PACKAGES[name]: split for name, split in splits.items()})
