"""Who calls whom, how often, and what of it fails: the edges of the service map, made of span metrics.

Not of the trace store's own generator, so that the map is the same with every store and with sampling.
"""

from typing import Final

from contracts import endpoints
from dashboards.queries import CALLS, DURATION_MS, FAILED
from dashboards.rules.model import AlertRule, RecordingRule, RuleGroup

RATE: Final = "dependency_calls:rate1m"
"""Calls a second; labels `source` and `target`, each a service, a topic, a database, `users` or `web pages`."""
ERRORS: Final = "dependency_failed:rate1m"
P95: Final = "dependency_duration_ms:p95"

_NAMED = "service_name, span_name"
# What the services ask over HTTP is known here; a span's address would be any page of the web.
_ASKED_BY = {endpoints.GATEWAY: endpoints.TASK_MANAGER, endpoints.CRAWLER: "web pages"}
# The page that the stack serves to its own crawler is no user's request.
_PAGE = 'span_name!="GET /demo"'

# Who asks for what is not there is told so; whoever tells it works.
_ITS_FAULT = f',{FAILED},http_response_status_code!~"4.."'


def dependencies() -> tuple[RuleGroup, ...]:
    """The edges as recording rules, and the alert on those that fail."""

    def edges(query: str, metric: str, more: str = "") -> str:
        """The query of each kind of edge; `{}` in it is the selector, `{by}` its labels."""

        def asked(selector: str) -> str:
            return query.format(f"{metric}{{{selector}{more}}}")

        def labelled(text: str, source: tuple[str, str, str], target: tuple[str, str, str]) -> str:
            for name, (replacement, label, pattern) in (("source", source), ("target", target)):
                text = f'label_replace({text}, "{name}", "{replacement}", "{label}", "{pattern}")'
            return text

        service = ("$1", "service_name", "(.*)")
        parts = (
            labelled(
                asked(f'service_name="{endpoints.GATEWAY}",span_kind="SPAN_KIND_SERVER",{_PAGE}'),
                ("users", "", ""),
                service,
            ),
            labelled(asked('span_kind="SPAN_KIND_PRODUCER"'), service, ("$1", "span_name", "send (.*)")),
            labelled(asked('span_kind="SPAN_KIND_CONSUMER"'), ("$1", "span_name", "process (.*)"), service),
            labelled(
                asked('span_kind="SPAN_KIND_CLIENT",db_system_name!=""'), service, ("$1", "db_system_name", "(.*)")
            ),
            *(
                labelled(
                    asked(f'span_kind="SPAN_KIND_CLIENT",db_system_name="",service_name="{source}"'),
                    service,
                    (target, "", ""),
                )
                for source, target in _ASKED_BY.items()
            ),
        )
        return " or ".join(parts)

    by = f"{_NAMED}, db_system_name"
    total = f"sum by ({by}) (rate({{}}[1m]))"
    p95 = f"histogram_quantile(0.95, sum by (le, {by}) (rate({{}}[1m])))"
    of = "source, target"
    return (
        RuleGroup(
            name="dependencies",
            rules=(
                RecordingRule(name=RATE, query=f"sum by ({of}) ({edges(total, CALLS)})"),
                RecordingRule(name=ERRORS, query=f"sum by ({of}) ({edges(total, CALLS, _ITS_FAULT)}) or 0 * {RATE}"),
                RecordingRule(name=P95, query=f"max by ({of}) ({edges(p95, DURATION_MS)})"),
                AlertRule(
                    name="DependencyFails",
                    # Three within the minute at least: a single one is no state of a dependency.
                    query=f"{ERRORS} / ({RATE} > 0) > 0.05 and {ERRORS} > 0.05",
                    for_="15s",
                    severity="page",
                    summary="{{ $labels.source }} → {{ $labels.target }} fails",
                    description="{{ $value | humanizePercentage }} of the calls of the last minute.",
                    dashboard="dependencies",
                    service="{{ $labels.target }}",
                ),
            ),
        ),
    )
