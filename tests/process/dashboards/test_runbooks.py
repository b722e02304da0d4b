"""The runbooks: one for every alert, and what they tell people to paste is understood by what it is pasted into."""

import ast
import re
import shlex
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
from sqlalchemy import create_engine

from dashboards.catalog import dashboards, runbooks
from dashboards.config import MonitoringConfig
from dashboards.rules import AlertRule, RecordingRule, groups
from dashboards.rules.runbook import RUNBOOKS
from lean_tracing import TracingSettings, start_tracing
from lean_tracing.sqlalchemy import instrument_engine
from service.common.metrics import Metrics
from service.crawler.handler import CrawlHandler
from service.task_manager.telemetry import TelemetryObserver
from stack.settings import ROOT, Settings, load, parse
from stack.settings.lookup import fields_at
from stack.settings.monitoring import monitoring_config
from tests.support.loki_process import LokiProcess
from tests.support.program import pipeline_config
from tests.support.prometheus_process import PrometheusProcess

STACKS: Final = ("local", "dev", "staging", "prod")
SECTIONS: Final = ["Meaning", "Diagnosis", "Mitigation", "Resolved when"]
PAGES: Final = {path.stem: path.read_text() for path in sorted(RUNBOOKS.glob("*.md"))}

# Metrics of other programs that no rule uses.
_OTHERS: Final = frozenset(
    {
        "ALERTS",
        "alertmanager_alerts",
        "alertmanager_notifications_total",
        "collector_queue_paused",
        "otelcol_process_cpu_seconds_total",
        "otelcol_process_runtime_heap_alloc_bytes",
        "process_cpu_seconds_total",
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus_notifications_errors_total",
        "prometheus_notifications_sent_total",
        "prometheus_rule_group_interval_seconds",
        "prometheus_rule_group_last_duration_seconds",
    }
)
# Words of other programs that look like the name of an alert.
_NO_ALERTS: Final = frozenset(
    {
        "ConnectError",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "ImagePullBackOff",
        "EndedProcess",
        "MalformedMessage",
        "OperationalError",
        "TimeoutError",
        "TimeoutException",
    }
)
_FENCED: Final = re.compile(r"^ *```(\w*)\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)
_IN_CODE: Final = re.compile(r"`([^`\n]+)`")


@cache
def configs() -> tuple[MonitoringConfig, ...]:
    """The stacks, one whose services are all the users' own, and one whose dashboards are in a Grafana of the users."""
    published = pipeline_config(
        grafana={"url": "https://grafana.example.com", "external": {"api": {}}},
        images={"service": "registry.example.com/service:1"},
    )
    others = (pipeline_config(), published)
    return tuple(monitoring_config(settings) for settings in (*map(load, STACKS), *(parse(c, "test") for c in others)))


@cache
def rules() -> tuple[AlertRule | RecordingRule, ...]:
    return tuple(rule for config in configs() for group in groups(config) for rule in group.rules)


@cache
def alerts() -> dict[str, AlertRule]:
    return {rule.name: rule for rule in rules() if isinstance(rule, AlertRule)}


@cache
def titles() -> dict[str, str]:
    return {uid: model["title"] for uid, model in dashboards(monitoring_config(load("staging"))).items()}


def fenced(language: str) -> list[tuple[str, str]]:
    """Return the page and the text of each code block in `language`."""
    return [
        (name, text.strip()) for name, page in PAGES.items() for kind, text in _FENCED.findall(page) if kind == language
    ]


def in_code(name: str) -> list[str]:
    """Return the inline code of a page."""
    return _IN_CODE.findall(_FENCED.sub("", PAGES[name]))


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert set(PAGES) == set(alerts())
    # By title: the uids in a Grafana of the users have a prefix.
    shown = {page["title"] for config in configs() for page in runbooks(config).values()}
    assert len(shown) == len(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_all_sections_and_fits_on_a_screen(name: str) -> None:
    page = PAGES[name]
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", page, flags=re.MULTILINE)[1:])
    assert 12 <= len(page.splitlines()) <= 35, "an on-call engineer reads it at night"
    fences = _FENCED.findall(page)
    assert {language for language, _ in fences} <= {"promql", "logql", "traceql", "sh"}
    assert page.count("```") == 2 * len(fences)
    # Grafana, which shows it, takes these for its variables.
    assert not re.search(r"\$[\w{]|\[\[", page)


@pytest.mark.parametrize("name", PAGES)
def test_the_first_step_names_the_dashboard_that_the_alert_links_to(name: str) -> None:
    first = re.search(r"^1\. (.*)$", PAGES[name].partition("## Diagnosis")[2], re.MULTILINE)
    assert first
    assert f"**{titles()[alerts()[name].dashboard]}**" in first[1]


@cache
def panels() -> dict[str, set[str]]:
    """The titles of all panels of a dashboard, in any stack."""
    titles: dict[str, set[str]] = {}
    for config in configs():
        for dashboard in dashboards(config).values():
            titles.setdefault(dashboard["title"], set()).update(each["title"] for each in _panels(dashboard))
    return titles


def _panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from panel.get("panels") or [panel]


def named_panels(page: str) -> list[str]:
    """Return the titles in `panel "A"` and `panels "A", "B" and "C"`."""
    lists = re.findall(r'panels? ((?:"[^"]+"(?:, and |, | and )?)+)', page)
    return [title for text in lists for title in re.findall(r'"([^"]+)"', text)]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_existing_panels(name: str) -> None:
    for line in PAGES[name].splitlines():
        of_the_line = re.findall(r"\*\*([^*]+)\*\*", line) if "**" in line else panels()
        assert set(named_panels(line)) <= set().union(*(panels().get(title, set()) for title in of_the_line))


def test_all_panels_of_a_list_are_checked() -> None:
    assert named_panels('panel "A": x, panels "B", "C" and "D"') == ["A", "B", "C", "D"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_existing_alerts_settings_and_files(name: str) -> None:
    sections = {field.alias or key for key, field in Settings.model_fields.items()}
    for code in in_code(name):
        if re.fullmatch(r"([A-Z][a-z]+){2,}", code):
            assert code in alerts() or code in _NO_ALERTS, code
        elif re.fullmatch(r"\w+(\.\w+)+", code) and code.partition(".")[0] in sections:
            assert is_a_setting(code), code
        elif "/" in code and " " not in code and "<" not in code:
            # A file or folder of the repository, or a route.
            assert (ROOT / code).exists() or code.startswith("/api/"), code
    for chapter, file in re.findall(r'"([^"]+)" in `([\w/.]+\.md)`', PAGES[name]):
        assert f"## {chapter}\n" in (ROOT / file).read_text(), chapter


def test_an_unknown_setting_is_reported() -> None:
    assert is_a_setting("collector.sampling.replicas")
    assert is_a_setting("services.taskManager.memory")
    assert not is_a_setting("services.task_manager.memory")
    assert not is_a_setting("collector.queueLength")


def is_a_setting(path: str) -> bool:
    """Return whether a stack file may have this key."""
    *section, name = path.split(".")
    return name in fields_at(section)


@pytest.mark.parametrize(("name", "text"), fenced("sh"))
def test_commands_can_be_pasted(name: str, text: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # A line has one command or several; a quoted program goes over several lines.
    for command in re.split(r"(?:\n *|; )(?=kubectl|make)", text.replace("<stack>", "local")):
        words = shlex.split(command)
        if words[0] == "make":
            assert words[1] in targets, name
        else:
            assert words[:3] == ["kubectl", "-n", "tracing"], name
        if "python3" in words:
            ast.parse(words[words.index("-c") + 1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"))
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def known(prometheus: PrometheusProcess) -> frozenset[str]:
    """Return the metrics that the services register, and those that rules record or use."""

    def never(_: Any) -> Any:
        raise AssertionError("the test fetches and sends nothing")

    registry = Metrics().registry
    tracing = start_tracing(TracingSettings.model_validate({"OTEL_SERVICE_NAME": "runbooks"}))
    registry.register(tracing.statistics)
    registry.register(instrument_engine(create_engine("sqlite://"), tracing.traces))
    TelemetryObserver(tracing.traces, registry)
    CrawlHandler(never, never, tracing.traces, registry)
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    registered = {
        f"{family.name}{ending}" for family in registry.collect() for ending in endings.get(family.type, ("",))
    }
    tracing.shutdown()
    recorded = {rule.name for rule in rules() if isinstance(rule, RecordingRule)}
    used = {metric for query in {rule.query for rule in rules()} for metric in prometheus.metrics(query)}
    return frozenset(registered | recorded | used | _OTHERS)


def unknown(metrics: set[str], known: frozenset[str]) -> set[str]:
    return {metric for metric in metrics if not any(re.fullmatch(metric, name) for name in known)}


@pytest.mark.parametrize(("name", "query"), fenced("promql"))
def test_prometheus_runs_a_query_and_its_metrics_are_known(
    name: str, query: str, prometheus: PrometheusProcess, known: frozenset[str]
) -> None:
    prometheus.query(query)
    metrics = prometheus.metrics(query)
    assert metrics, name
    assert not unknown(metrics, known), name


def test_an_unknown_metric_is_reported(prometheus: PrometheusProcess, known: frozenset[str]) -> None:
    query = 'sum(rate(kafka_messages_sent_total[1m])) / up > 0 or {__name__=~"tracing_items_(dropped|refused)_total"}'
    metrics = prometheus.metrics(query)
    assert len(metrics) == 3
    assert unknown(metrics, known) == {"kafka_messages_sent_total"}


@pytest.fixture(scope="module")
def loki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LokiProcess]:
    process = LokiProcess(tmp_path_factory.mktemp("loki"))
    process.start()
    yield process
    process.kill()


@pytest.mark.parametrize(("name", "query"), fenced("logql"))
def test_loki_runs_a_query(name: str, query: str, loki: LokiProcess) -> None:
    now = time.time_ns()
    assert loki.query(query, now - 10**9, now) == [], name
