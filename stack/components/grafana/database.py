"""Grafana's own database on a server that the stack did not build, as variables of its container."""

from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from contracts import secret_keys
from stack.components.grafana.settings import Database
from stack.components.shared.environment import secret_variable, variables

AUTHORITY: Final = "/etc/grafana/database"
"""Folder with the certificate of the authority."""
_FILE: Final = "ca.pem"


def authority_files(settings: Database) -> dict[str, str]:
    """Return the files of that folder; none if the public authorities are enough."""
    return {_FILE: settings.ca} if settings.ca else {}


def database_variables(settings: Database, secret: pulumi.Input[str]) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables of Grafana's container."""
    return [
        *variables(
            GF_DATABASE_TYPE="postgres",
            GF_DATABASE_HOST=settings.host,
            GF_DATABASE_NAME=settings.name,
            GF_DATABASE_USER=settings.user,
            GF_DATABASE_SSL_MODE=settings.tls,
            **({"GF_DATABASE_CA_CERT_PATH": f"{AUTHORITY}/{_FILE}"} if settings.ca else {}),
        ),
        secret_variable("GF_DATABASE_PASSWORD", secret_keys.GRAFANA_DATABASE_PASSWORD, secret),
        # Grafana's default is published, and every pod must have the same one.
        secret_variable("GF_SECURITY_SECRET_KEY", secret_keys.GRAFANA_SECRET_KEY, secret),
    ]
