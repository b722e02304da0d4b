"""Settings of the task-manager."""

from __future__ import annotations

from pydantic import Field, SecretStr

from service.common.config import ServiceSettings


class TaskManagerSettings(ServiceSettings):
    """Adds the database."""

    database_url: SecretStr = Field(
        alias="DATABASE_URL",
        min_length=1,
        description="a SQLAlchemy URL such as postgresql+psycopg://user:password@host:5432/name",
    )
    consumer_group: str = Field(
        "task-manager", alias="KAFKA_CONSUMER_GROUP", min_length=1, max_length=255, description="1 to 255 characters"
    )
