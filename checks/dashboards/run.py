"""Runs every query of the dashboards and alerts of a stack."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from checks.dashboards.panels import Panel, panels
from checks.dashboards.sources import Answer, Source, variable_values
from checks.dashboards.substitute import UnknownVariable, Window, built_in, substitute
from dashboards.rules import AlertRule, RuleGroup, alert_rules
from stack.clients.http import QueryError
from stack.clients.prometheus import PrometheusClient

_AT_ONCE: Final = 6
_DRAWN_WITHOUT_DATA: Final = frozenset({"row", "text"})


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A panel with the answer, or the text of the error, of each of its targets."""

    panel: Panel
    queries: Sequence[str]
    answers: Sequence[Answer | str]

    @property
    def failure(self) -> str | None:
        """The problem of the panel; None if it has none."""
        for query, answer in zip(self.queries, self.answers, strict=True):
            if isinstance(answer, str):
                return f"{answer}\n{query}"
        if self.panel.type in _DRAWN_WITHOUT_DATA:
            return None
        if not self.answers:
            return "the panel has no query"
        if self.is_empty and self.panel.normally_empty is None:
            return "no data\n" + "\n".join(self.queries)
        return None

    @property
    def is_empty(self) -> bool:
        """Whether none of its targets has data."""
        return all(isinstance(answer, Answer) and answer.is_empty for answer in self.answers)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A problem and its place."""

    dashboard: str
    where: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of all queries."""

    dashboards: Mapping[str, Sequence[Checked]]
    """Title of a dashboard → its panels."""
    queries: int
    variables: int
    alerts: int
    failures: Sequence[Failure]


class Check:
    """Runs the queries that Grafana runs for the dashboards."""

    def __init__(
        self, sources: Mapping[str, Source], prometheus: PrometheusClient, window: Window, scrape_seconds: int
    ) -> None:
        """Prepares a check.

        Args:
            sources: uid of a datasource → the store behind it.
            prometheus: evaluates the variables and alerts.
            window: the time of the queries.
            scrape_seconds: the scrape interval.
        """
        self._sources = sources
        self._prometheus = prometheus
        self._window = window
        self._built_in = built_in(window, scrape_seconds)

    def run(
        self,
        models: Iterable[Mapping[str, Any]],
        rules: Iterable[RuleGroup],
        on_progress: Callable[[], None] = lambda: None,
    ) -> Result:
        """Runs everything; `on_progress` is called after each panel."""
        failures: list[Failure] = []
        variables = 0
        work: list[tuple[Panel, dict[str, str]]] = []
        for model in models:
            values, wrong = self._variables(model)
            variables += len(model.get("templating", {}).get("list", []))
            failures += wrong
            work += [(panel, values) for panel in panels(model)]

        def check(item: tuple[Panel, dict[str, str]]) -> Checked:
            checked = self._panel(*item)
            on_progress()
            return checked

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            done = list(pool.map(check, work))
        by_dashboard: dict[str, list[Checked]] = {}
        for checked in done:
            by_dashboard.setdefault(checked.panel.dashboard, []).append(checked)
            if checked.failure:
                failures.append(
                    Failure(dashboard=checked.panel.dashboard, where=checked.panel.title, what=checked.failure)
                )
        alerts = alert_rules(rules)
        failures += self._alerts(alerts)
        return Result(
            dashboards=by_dashboard,
            queries=sum(len(checked.answers) for checked in done),
            variables=variables,
            alerts=len(alerts),
            failures=failures,
        )

    def _variables(self, model: Mapping[str, Any]) -> tuple[dict[str, str], list[Failure]]:
        """The default value of each of a dashboard's variables, as Grafana puts it into a query."""
        values, failures = dict(self._built_in), []
        for variable in model.get("templating", {}).get("list", []):
            name = variable["name"]
            try:
                values[name] = self._value(variable, values)
            except (QueryError, UnknownVariable) as error:
                values[name] = variable.get("allValue") or ".*"
                failures.append(Failure(dashboard=model["title"], where=f"variable {name}", what=str(error)))
        return {name: value for name, value in values.items() if name not in self._built_in} | self._built_in, failures

    def _value(self, variable: Mapping[str, Any], values: Mapping[str, str]) -> str:
        if variable["type"] != "query":
            return str(variable.get("current", {}).get("value") or variable.get("query", ""))
        query = variable["query"]
        text = query if isinstance(query, str) else query["query"]
        options = variable_values(self._prometheus, substitute(text, values), self._window)
        if not options:
            raise QueryError(f"no values: {text}")
        if variable.get("includeAll"):
            return str(variable.get("allValue") or f"({'|'.join(options)})")
        return options[0]

    def _panel(self, panel: Panel, values: Mapping[str, str]) -> Checked:
        queries, answers = [], []
        for target in panel.targets:
            queries.append(str(target.get("expr") or target.get("query") or target.get("service", "")))
            answers.append(self._answer(target, values))
        return Checked(panel=panel, queries=queries, answers=answers)

    def _answer(self, target: Mapping[str, Any], values: Mapping[str, str]) -> Answer | str:
        uid = str((target.get("datasource") or {}).get("uid"))
        source = self._sources.get(uid)
        if source is None:
            return f"there is no datasource {uid!r}"
        try:
            filled = {
                key: substitute(value, values) if isinstance(value, str) and key != "legendFormat" else value
                for key, value in target.items()
            }
            return source.query(filled, self._window)
        except (QueryError, UnknownVariable) as error:
            return str(error)

    def _alerts(self, alerts: Sequence[AlertRule]) -> list[Failure]:
        def failure(alert: AlertRule) -> Failure | None:
            try:
                self._prometheus.query(alert.query, self._window.end)
            except QueryError as error:
                return Failure(dashboard="alerts", where=alert.name, what=f"{error}\n{alert.query}")
            return None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [problem for problem in pool.map(failure, alerts) if problem]
