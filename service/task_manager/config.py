"""Settings of the task-manager."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from contracts.topics import CONSUMER_GROUPS, STATUS_TOPIC
from service.common.config import ServiceSettings
from service.tracing.environment import EnvironmentSettings

_DRIVERS = frozenset({"postgresql+psycopg", "sqlite"})


def _database_url(value: SecretStr) -> SecretStr:
    try:
        driver = make_url(value.get_secret_value()).drivername
    except ArgumentError:
        raise ValueError("not a SQLAlchemy URL") from None
    if driver not in _DRIVERS:
        raise ValueError(f"its driver is none of {', '.join(sorted(_DRIVERS))}")
    return value


class DatabaseSettings(EnvironmentSettings):
    """The address of the database."""

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        alias="DATABASE_URL",
        description="a SQLAlchemy URL such as postgresql+psycopg://user:password@host:5432/name, or sqlite:///file",
    )


class TaskManagerSettings(DatabaseSettings, ServiceSettings):
    """Settings of the service, with the database."""

    consumer_group: str = Field(
        CONSUMER_GROUPS[STATUS_TOPIC],
        alias="KAFKA_CONSUMER_GROUP",
        min_length=1,
        max_length=255,
        description="1 to 255 characters",
    )
    retention_hours: int | None = Field(
        None,
        alias="TASKS_RETENTION_HOURS",
        ge=24,
        le=87_840,
        description="hours for which ended tasks are kept, 24 to 87840; for ever if it is not set",
    )

    @property
    def retention(self) -> timedelta | None:
        """The time for which ended tasks are kept; None: for ever."""
        return None if self.retention_hours is None else timedelta(hours=self.retention_hours)
