"""Grafana's queries of the service graph give the rates and times of the calls, as Prometheus' own `promtool` computes
them from the recorded series."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from checks.contract.queries import service_graph_queries, service_graph_table_queries
from dashboards.rules import rule_file
from dashboards.rules.service_graph import service_graph
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.promtool import binary

STEP = 15
SPANS = {
    ("gateway", "SERVER", "POST /tasks", ""): ("users", "gateway", ""),
    ("gateway", "PRODUCER", "send task-status", ""): ("gateway", "task-status", "messaging_system"),
    ("task-manager", "CONSUMER", "process task-status", ""): ("task-status", "task-manager", "messaging_system"),
    ("task-manager", "CLIENT", "INSERT tasks", "postgresql"): ("task-manager", "postgresql", "database"),
    ("gateway", "CLIENT", "GET", ""): ("gateway", "task-manager", ""),
    ("web-crawler", "CLIENT", "GET", ""): ("web-crawler", "web-pages", "virtual_node"),
}
"""Service, kind, name and database of spans → client, server and type of their edge."""


def labels(span: tuple[str, str, str, str], instance: str, **extra_labels: str) -> str:
    service, kind, name, database = span
    pairs = {
        "service_name": service,
        "span_kind": f"SPAN_KIND_{kind}",
        "span_name": name,
        "instance": instance,
        **extra_labels,
    }
    if database:
        pairs["db_system_name"] = database
    return "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"


def growing(per_step: float, *, restart_at: int | None = None) -> str:
    """A counter of 40 steps; it starts again at 0 where its Collector restarts."""
    if restart_at is None:
        return f"0+{per_step:g}x40"
    return f"0+{per_step:g}x{restart_at - 1} 0+{per_step:g}x{40 - restart_at}"


def input_series() -> list[dict[str, str]]:
    """15 calls in each step, through two Collectors, of which one restarts; a fifth of one Collector's calls fail."""
    calls, duration = "traces_span_metrics_calls_total", "traces_span_metrics_duration_milliseconds"
    values: dict[str, str] = {}
    for span in SPANS:
        values[calls + labels(span, "a", status_code="STATUS_CODE_UNSET")] = growing(5)
        values[calls + labels(span, "b", status_code="STATUS_CODE_UNSET")] = growing(8, restart_at=20)
        values[calls + labels(span, "b", status_code="STATUS_CODE_ERROR")] = growing(2, restart_at=20)
        for instance, count in (("a", 5), ("b", 10)):
            values[f"{duration}_sum" + labels(span, instance)] = growing(count * 200)
            values[f"{duration}_count" + labels(span, instance)] = growing(count)
            for limit, below in (("2.0", 0), ("25.0", 0), ("100.0", 0), ("250.0", count), ("2500.0", count)):
                values[f"{duration}_bucket" + labels(span, instance, le=limit)] = growing(below)
            values[f"{duration}_bucket" + labels(span, instance, le="+Inf")] = growing(count)
    return [{"series": series, "values": samples} for series, samples in values.items()]


def test_grafanas_service_graph_has_the_rates_and_times_of_every_edge(tmp_path: Path) -> None:
    total, failed, seconds, *groups, p90 = service_graph_queries("5m")

    def expected(query: str, value: float) -> dict[str, Any]:
        # Rounded: promtool compares floating-point numbers exactly.
        edges = [f'{{client="{client}", server="{server}"}}' for client, server, _ in SPANS.values()]
        samples = [{"labels": edge, "value": value} for edge in edges]
        return {"expr": f"round({query}, 0.001)", "eval_time": "10m", "exp_samples": samples}

    types = [
        {"client": client, "server": server} | ({"connection_type": kind} if kind else {})
        for client, server, kind in SPANS.values()
    ]
    texts = ["{" + ", ".join(f'{key}="{value}"' for key, value in sorted(kind.items())) + "}" for kind in types]
    evaluate(
        [
            expected(total, 1.0),
            expected(failed, 0.133),
            expected(seconds, 0.2),
            expected(p90, 0.235),
            *(
                {"expr": group, "eval_time": "10m", "exp_samples": [{"labels": text, "value": 1} for text in texts]}
                for group in groups
            ),
        ],
        tmp_path,
    )


def test_grafanas_table_has_the_rate_the_errors_and_the_time_of_every_request(tmp_path: Path) -> None:
    rate, errors, p90 = service_graph_table_queries("5m", "POST /tasks")
    post = '{span_name="POST /tasks"}'
    expected = {rate: (post, 1.0), errors: (post, 0.133), p90: ("{}", 0.235)}
    evaluate(
        [
            {
                "expr": f"round({query}, 0.001)",
                "eval_time": "10m",
                "exp_samples": [{"labels": labels, "value": value}],
            }
            for query, (labels, value) in expected.items()
        ],
        tmp_path,
    )


def evaluate(expressions: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_file([service_graph(monitoring_config(load("prod")))], "http://grafana"))
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": input_series(),
                "promql_expr_test": expressions,
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test, width=10**9))
    command = [str(binary()), "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
