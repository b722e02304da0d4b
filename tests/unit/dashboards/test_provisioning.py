"""Grafana can load what the stack provisions: rules that a real Grafana enforces, held without one."""

import json
import re
from collections import Counter
from typing import Final

import pytest

from dashboards.catalog import HOME_DASHBOARD, RUNBOOK_FOLDER, TRACING_FOLDER, dashboards, provider, runbooks
from stack.settings import load
from stack.settings.monitoring import monitoring_config

STACKS: Final = ("local", "dev", "staging", "prod")


@pytest.mark.parametrize("stack", STACKS)
def test_folders_and_dashboards_share_one_namespace_of_uids(stack: str) -> None:
    """Grafana refuses a dashboard whose uid is that of a folder, and tries again every 30 s."""
    config = monitoring_config(load(stack))
    folders = [item["folderUid"] for item in provider({TRACING_FOLDER: "/a", RUNBOOK_FOLDER: "/b"})["providers"]]
    uids = Counter([*folders, *dashboards(config), *runbooks(config)])
    assert len(folders) == 2
    assert [uid for uid, count in uids.items() if count > 1] == []
    assert all(len(uid) <= 40 for uid in uids), "Grafana refuses longer uids"


@pytest.mark.parametrize("stack", STACKS)
def test_titles_are_unique_within_a_folder(stack: str) -> None:
    config = monitoring_config(load(stack))
    for models in (dashboards(config), runbooks(config)):
        titles = Counter(model["title"] for model in models.values())
        assert [title for title, count in titles.items() if count > 1] == []


@pytest.mark.parametrize("stack", STACKS)
def test_links_within_grafana_lead_to_provisioned_uids(stack: str) -> None:
    config = monitoring_config(load(stack))
    models = {**dashboards(config), **runbooks(config)}
    for title, model in models.items():
        links = re.findall(r"(?<![\w/])/?d/([\w-]+|\$\{__value\.raw\}|\{\{runbook\}\})", json.dumps(model))
        assert set(links) <= {*models, "${__value.raw}", "{{runbook}}"}, title
    overview = json.dumps(models[HOME_DASHBOARD])
    assert "/d/${__value.raw}?${__url_time_range}" in overview, "links keep the time range"
