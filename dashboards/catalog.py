"""All dashboards of a stack, as Grafana reads them."""

from collections.abc import Mapping
from typing import Any, Final

from dashboards import database, dependencies, kafka, overview, rollout, services, slo, tasks, tracing
from dashboards.config import MonitoringConfig
from dashboards.dashboard import RUNBOOK_TAG, Dashboard, Model, Row
from dashboards.panels import text
from dashboards.rules import alert_rules, groups
from dashboards.rules.model import runbook_uid
from dashboards.rules.runbook import RUNBOOKS

TRACING_FOLDER: Final = "Tracing"
RUNBOOK_FOLDER: Final = "Runbooks"
HOME_DASHBOARD: Final = overview.DASHBOARD.uid
"""The page that opens after signing in."""

# In the order in which an on-call engineer reads them.
_DASHBOARDS: Final = (
    overview.DASHBOARD,
    services.DASHBOARD,
    tasks.DASHBOARD,
    kafka.DASHBOARD,
    database.DASHBOARD,
    dependencies.DASHBOARD,
    tracing.DASHBOARD,
    slo.DASHBOARD,
    rollout.DASHBOARD,
)


def dashboards(config: MonitoringConfig) -> dict[str, Model]:
    """Return uid → Grafana's JSON model of every dashboard."""
    return {
        config.names.uid(dashboard.uid): dashboard.model(config)
        for dashboard in _DASHBOARDS
        if config.services or not dashboard.only_of_services
    }


def runbooks(config: MonitoringConfig) -> dict[str, Model]:
    """Return uid → a page of Grafana with the runbook of an alert, so that its link works wherever Grafana does."""
    names = sorted({rule.name for rule in alert_rules(groups(config))})
    return {config.names.uid(runbook_uid(name)): _runbook(name).model(config) for name in names}


def _runbook(alert: str) -> Dashboard:
    title, _, body = (RUNBOOKS / f"{alert}.md").read_text().partition("\n")
    return Dashboard(
        uid=runbook_uid(alert),
        title=f"Runbook: {title.removeprefix('# ')}",
        question=f"What to do about {alert}.",
        tag=RUNBOOK_TAG,
        rows=(Row(alert, (lambda _: text(body.strip()),)),),
    )


def folder_uid(title: str) -> str:
    """Return the uid of a folder in a Grafana of the stack."""
    return title.lower()


def provider(folders: Mapping[str, str]) -> dict[str, Any]:
    """Return Grafana's provisioning document.

    Args:
        folders: title of a folder → directory whose files are its dashboards.
    """
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": title,
                "folder": title,
                "folderUid": folder_uid(title),
                "type": "file",
                # The next deployment would overwrite changes that are made in Grafana.
                "allowUiUpdates": False,
                "disableDeletion": False,
                "updateIntervalSeconds": 30,
                "options": {"path": directory},
            }
            for title, directory in folders.items()
        ],
    }
