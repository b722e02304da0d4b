"""The real Prometheus enforces sample limits, and an alert fires before a target reaches its limit."""

from pathlib import Path

from dashboards.rules import AlertRule, groups
from stack.polling import poll_until
from stack.settings import load
from stack.settings.monitoring import monitoring_config
from tests.support.http_server import Request, Response, http_server
from tests.support.prometheus_process import PrometheusProcess


def _samples(request: Request) -> Response:
    """Answers `/900` with 900 samples."""
    count = int(request.path.removeprefix("/"))
    body = "".join(f'made{{n="{n}"}} 1\n' for n in range(count))
    return Response(body, 200, {"Content-Type": "text/plain; version=0.0.4"})


def test_the_alert_fires_before_the_limit_and_beyond_it(tmp_path: Path) -> None:
    (alert,) = [
        rule
        for group in groups(monitoring_config(load("prod")))
        for rule in group.rules
        if isinstance(rule, AlertRule) and rule.name == "SamplesNearLimit"
    ]
    with http_server(_samples) as url:
        targets = [{"targets": [url.removeprefix("http://")]}]
        jobs = [
            {"job_name": name, "metrics_path": f"/{count}", "sample_limit": 1_000, "static_configs": targets}
            for name, count in (("few", 700), ("near", 900), ("over", 1_100))
        ]
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}
        prometheus = PrometheusProcess(tmp_path, config=config, features="extra-scrape-metrics")
        prometheus.start()
        try:

            def scraped() -> dict[str, str]:
                return {series["metric"]["job"]: series["value"][1] for series in prometheus.query("up")}

            poll_until("three targets scraped", lambda: len(scraped()) == 3)
            assert scraped() == {"few": "1", "near": "1", "over": "0"}
            assert {series["metric"]["job"] for series in prometheus.query(alert.query)} == {"near", "over"}
        finally:
            prometheus.kill()
