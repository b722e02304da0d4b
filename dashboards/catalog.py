"""All dashboards of a stack, as Grafana reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dashboards.dashboard import Dashboard, Row
from dashboards.database import database
from dashboards.dependencies import dependencies
from dashboards.kafka import kafka
from dashboards.panels import text
from dashboards.rollout import rollout
from dashboards.rules import AlertRule, groups
from dashboards.rules.model import runbook_uid
from dashboards.services import services
from dashboards.slo import slo
from dashboards.tasks import tasks
from dashboards.tracing import tracing
from stack.settings import Settings

RUNBOOKS: Final = Path(__file__).parent / "runbooks"

Model = dict[str, Any]


def dashboards(settings: Settings) -> dict[str, Model]:
    """uid → Grafana's JSON model, in the order in which an on-call engineer reads them."""
    found = (
        services(settings),
        tasks(settings),
        kafka(settings),
        database(settings),
        dependencies(),
        tracing(settings),
        slo(settings),
        rollout(settings),
    )
    return {dashboard.uid: dashboard.model() for dashboard in found}


def runbooks(settings: Settings) -> dict[str, Model]:
    """uid → page with the runbook of an alert: its link works wherever Grafana does."""
    names = sorted({rule.name for group in groups(settings) for rule in group.rules if isinstance(rule, AlertRule)})
    return {runbook_uid(name): _runbook(name) for name in names}


def _runbook(alert: str) -> Model:
    content = (RUNBOOKS / f"{alert}.md").read_text()
    title, _, body = content.partition("\n")
    return Dashboard(
        uid=runbook_uid(alert),
        title=f"Runbook: {title.removeprefix('# ')}",
        question=f"What to do about {alert}.",
        rows=(Row(title=alert, panels=(text(body.strip()),)),),
    ).model()


def provider(folders: Mapping[str, str]) -> Model:
    """Grafana's provisioning document.

    Args:
        folders: title of a folder → directory whose files are its dashboards.
    """
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": title,
                "folder": title,
                "folderUid": title.lower(),
                "type": "file",
                # What is changed by hand would be gone with the next deployment.
                "allowUiUpdates": False,
                "disableDeletion": False,
                "updateIntervalSeconds": 30,
                "options": {"path": directory},
            }
            for title, directory in folders.items()
        ],
    }
