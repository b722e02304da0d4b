"""The on-call guide names faults, dashboards and runbooks that exist, and answers that are right."""

import re

from checks.drill.answer import compare, parse
from checks.faults.catalogue import faults
from cli.__main__ import COMMANDS
from dashboards.catalog import dashboards
from stack.settings import ROOT, load
from stack.settings.monitoring import monitoring_config

PAGE = (ROOT / "docs/on-call.md").read_text()
FAULTS = faults("jaeger")


def test_the_faults_exist() -> None:
    names = set(re.findall(r"--fault=([\w-]+)", PAGE))
    assert names
    assert names <= FAULTS.keys()


def test_the_answers_are_right() -> None:
    for name, text in (("postgres-down", "postgres, stopped"), ("torn-traces", "web-crawler, trace context")):
        assert f"`{text}`" in PAGE
        assert compare(parse(text), FAULTS[name]).is_right


def test_the_dashboards_exist() -> None:
    titles = {model["title"] for model in dashboards(monitoring_config(load("local"))).values()}
    table = PAGE.partition("| dashboard |")[2].partition("\n\n")[0]
    named = set(re.findall(r"^\| ([A-Z][\w ]+) \|", table, re.MULTILINE))
    assert len(named) >= 6
    assert named <= titles


def test_the_alerts_and_commands_exist() -> None:
    alerts = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", PAGE))
    assert len(alerts) > 3
    assert not [name for name in alerts if not (ROOT / "dashboards" / "runbooks" / f"{name}.md").exists()]
    assert set(re.findall(r"\./wct ([a-z-]+)", PAGE)) <= COMMANDS.keys()


def test_the_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    headings = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-") for line in PAGE.splitlines() if "## " in line
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings
