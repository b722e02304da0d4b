"""Settings of the task-manager."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from contracts.topics import CONSUMER_GROUPS, STATUS_TOPIC
from lean_tracing.environment import EnvironmentSettings
from service.common.config import ServiceSettings

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

    access_control: bool = Field(
        False, alias="ACCESS_CONTROL", description="true or false: whether only the gateway may call the REST API"
    )
    service_token: SecretStr | None = Field(
        None, alias="SERVICE_TOKEN", description="the token by which the task-manager knows the gateway"
    )
    service_token_other: SecretStr | None = Field(
        None, alias="SERVICE_TOKEN_OTHER", description="a second one, during a rotation"
    )

    @property
    def service_tokens(self) -> list[str]:
        """The tokens by which the task-manager knows the gateway."""
        tokens = (self.service_token, self.service_token_other)
        return [token.get_secret_value() for token in tokens if token and token.get_secret_value()]

    @model_validator(mode="after")
    def _check_access(self) -> Self:
        if self.access_control and not self.service_tokens:
            raise ValueError("ACCESS_CONTROL=true needs SERVICE_TOKEN")
        return self

    @property
    def retention(self) -> timedelta | None:
        """The time for which ended tasks are kept; None: for ever."""
        return None if self.retention_hours is None else timedelta(hours=self.retention_hours)
