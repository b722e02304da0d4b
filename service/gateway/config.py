"""Settings of the gateway."""

from typing import Annotated

from pydantic import AfterValidator, Field

from lean_tracing.values import check_http_url
from service.common.config import ServiceSettings
from service.gateway.access.settings import AccessSettings


class GatewaySettings(AccessSettings, ServiceSettings):
    """Settings of the service, with access to it and the task-manager's address."""

    task_manager_url: Annotated[str, AfterValidator(check_http_url)] = Field(
        "http://localhost:8081", alias="TASK_MANAGER_URL", description="an http or https URL"
    )
    task_manager_ca: str | None = Field(
        None, alias="TASK_MANAGER_CA", description="PEM of the authority that signed the task-manager's certificate"
    )
