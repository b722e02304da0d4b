"""Every query that the project ships, and what in it nothing emits."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from checks.contract.promql import Labels, Query, unknown_values
from checks.dashboards.panels import panels
from checks.dashboards.substitute import Window, built_in, substitute
from contracts import metrics
from contracts.telemetry import Registry
from dashboards.rules import AlertRule, RecordingRule, RuleGroup

_VARIABLES: Final = {"environment": ".+", "service": ".+", "operation": ".+"} | built_in(
    Window(start=0, end=900, step=15), 15
)
_LANGUAGES: Final = {"prometheus": "promql", "loki": "logql", "tempo": "traceql"}
"""Type of a datasource → language of its queries; Jaeger's searches are forms without a language."""
_FENCED: Final = re.compile(r"^ *```(promql|logql|traceql)\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`')
_LOG_LABEL: Final = re.compile(r"(?:[{,]|\|)\s*([A-Za-z_]\w*)\s*(?:=~|!~|!=|=|>|<)")
_MATCHER: Final = re.compile(r'([A-Za-z_][\w.]*)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_TRACE_ATTRIBUTE: Final = re.compile(r"(?:resource|span|event|link|instrumentation)?\.([A-Za-z_][\w.]*)")


@dataclass(frozen=True, kw_only=True)
class ShippedQuery:
    """A query and where it is written."""

    place: str
    """For example `dashboard Services, panel Request rate`."""
    language: str
    """`promql`, `logql` or `traceql`."""
    text: str


def of_dashboards(models: Iterable[Mapping[str, Any]]) -> Iterator[ShippedQuery]:
    """The queries of all panels and variables, from Grafana's JSON models."""
    for model in models:
        for panel in panels(model):
            place = f"dashboard {model['title']}, panel {panel.title}"
            for target in panel.targets:
                if language := _LANGUAGES.get(target["datasource"]["type"]):
                    text = substitute(target["query" if language == "traceql" else "expr"], _VARIABLES)
                    yield ShippedQuery(place=place, language=language, text=text)
        for variable in model["templating"]["list"]:
            if match := re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable.get("query", ""))):
                text = f"group by ({match[2]}) ({substitute(match[1], _VARIABLES)})"
                yield ShippedQuery(
                    place=f"dashboard {model['title']}, variable {variable['name']}", language="promql", text=text
                )


def of_links(document: Mapping[str, Any]) -> Iterator[ShippedQuery]:
    """The queries of the datasources: links from a span to metrics and to log lines, and Tempo's service graph."""
    for datasource in document["datasources"]:
        place = f"datasource {datasource['name']}"
        data = datasource["jsonData"]
        metric_links, log_links = data.get("tracesToMetrics"), data.get("tracesToLogsV2")
        for link in metric_links["queries"] if metric_links else ():
            text = link["query"].replace("$$__tags", _tags(metric_links))
            yield ShippedQuery(place=f"{place}, link {link['name']}", language="promql", text=text)
        if log_links:
            text = log_links["query"].replace("$${__tags}", _tags(log_links))
            yield ShippedQuery(place=f"{place}, link to logs", language="logql", text=text)
        if "serviceMap" in data:
            for text in (*service_graph_queries("15m"), *service_graph_table_queries("15m", ".+")):
                yield ShippedQuery(place=f"{place}, service graph", language="promql", text=text)


def service_graph_queries(window: str) -> list[str]:
    """What Grafana's tab *Service Graph* asks Prometheus, as Grafana 12 builds it; no setting changes these names."""
    histogram = "traces_service_graph_request_server_seconds"
    names = ("traces_service_graph_request_total", "traces_service_graph_request_failed_total", f"{histogram}_sum")
    return [
        *(f"sum by (client, server) (rate({name}[{window}]))" for name in names),
        *(f"group by (client, connection_type, server) ({name})" for name in names),
        f"histogram_quantile(.9, sum(rate({histogram}_bucket[{window}])) by (le, client, server))",
    ]


def service_graph_table_queries(window: str, span_name: str) -> list[str]:
    """What the tab asks for its table: the names with the highest rates, their errors, and the p90 of one name."""
    calls, duration = "traces_spanmetrics_calls_total", "traces_spanmetrics_latency_bucket"
    name = f'span_name=~"{span_name}"'
    return [
        f'topk(5, sum(rate({calls}{{span_kind="SPAN_KIND_SERVER"}}[{window}])) by (span_name))',
        f'topk(5, sum(rate({calls}{{status_code="STATUS_CODE_ERROR",{name}}}[{window}])) by (span_name))',
        f"histogram_quantile(.9, sum(rate({duration}{{{name}}}[{window}])) by (le))",
    ]


def _tags(link: Mapping[str, Any]) -> str:
    """The matchers that Grafana makes of a span's attributes."""
    return ",".join(f'{tag["value"]}=~".+"' for tag in link["tags"])


def of_rules(groups: Iterable[RuleGroup]) -> Iterator[ShippedQuery]:
    """The queries of recording and alert rules."""
    for group in groups:
        for rule in group.rules:
            kind = "recording rule" if isinstance(rule, RecordingRule) else "alert"
            yield ShippedQuery(place=f"{kind} {rule.name}", language="promql", text=rule.query)


def of_runbooks(pages: Mapping[str, str]) -> Iterator[ShippedQuery]:
    """The queries that runbooks ask the reader to run: name of the page → its Markdown."""
    for name, page in pages.items():
        for language, text in _FENCED.findall(page):
            yield ShippedQuery(place=f"runbook {name}", language=language, text=text.strip())


class Contract:
    """The registry and the recording rules: all that a query can name."""

    def __init__(self, registry: Registry, groups: Iterable[RuleGroup]) -> None:
        self._registry = registry
        self._rules: dict[str, list[RecordingRule]] = {}
        self._alerts: set[str] = set()
        for group in groups:
            for rule in group.rules:
                if isinstance(rule, RecordingRule):
                    self._rules.setdefault(rule.name, []).append(rule)
            self._alerts.update(rule.name for rule in group.rules if isinstance(rule, AlertRule))
        self._labels_of_rules: dict[str, Labels] = {}

    def labels_of(self, series: str) -> Labels | None:
        """The labels that a series can have; None if neither a program nor a recording rule makes it."""
        if series not in self._rules:
            return self._registry.labels_of(series)
        if series not in self._labels_of_rules:
            self._labels_of_rules[series] = frozenset[str]().union(
                *(self.read(rule.query).labels | rule.labels.keys() for rule in self._rules[series])
            )
        return self._labels_of_rules[series]

    def values_of(self, series: str, label: str) -> frozenset[str]:
        """All values that a label of a series can have; empty if it can have any value."""
        if (series, label) == (metrics.ALERTS, "alertname"):
            return frozenset(self._alerts)
        if series not in self._rules:
            return self._registry.values_of(series, label)
        rules = self._rules[series]
        is_constant = all(label in rule.labels for rule in rules)
        return frozenset(rule.labels[label] for rule in rules) if is_constant else frozenset()

    def series(self) -> Iterator[str]:
        """Names of all series."""
        for metric in self._registry.metrics.values():
            yield from metric.series
        yield from self._rules

    def read(self, promql: str) -> Query:
        """A PromQL query, read with this contract."""
        return Query(promql, self.labels_of, self.values_of, self.series)

    def problems(self, query: ShippedQuery) -> list[str]:
        """Return the names and values in the query that nothing emits; empty if all is well."""
        match query.language:
            case "promql":
                return self.read(query.text).problems
            case "logql":
                named = set(_LOG_LABEL.findall(_QUOTED.sub('""', query.text)))
                return [
                    *(f"no log record has the field {label}" for label in sorted(named - self._log_fields)),
                    *self._unknown_values(query.text),
                ]
            case _:
                named = set(_TRACE_ATTRIBUTE.findall(_QUOTED.sub('""', query.text)))
                return [
                    *(f"no span has the attribute {key}" for key in sorted(named - self._registry.attributes.keys())),
                    *self._unknown_values(query.text),
                ]

    def _unknown_values(self, text: str) -> Iterator[str]:
        """Yield the values with which a LogQL or TraceQL query compares a field, and which that field never has."""
        for name, operator, value in _MATCHER.findall(text):
            label = name.removeprefix("resource.").removeprefix("span.").replace(".", "_")
            if values := self._registry.members.get(label):
                for unknown in unknown_values(value, values, is_regex="~" in operator):
                    yield f"{name} is never {unknown!r}"

    @cached_property
    def _log_fields(self) -> frozenset[str]:
        return frozenset(attribute.label for attribute in self._registry.attributes.values())
