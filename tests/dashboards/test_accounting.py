"""Span accounting on the real Prometheus: services, Collectors and store are played, half an hour takes 12 seconds."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dashboards.rules import groups, rule_file
from local.paths import Home
from stack.settings import Settings, load
from tests.service.conftest import free_port
from tests.service.polling import poll_until

RUNBOOKS = Path(__file__).parents[2] / "dashboards" / "runbooks"
RATE = 1000
"""Spans a second."""
_FASTER = {"30m": "12s", "10m": "6s", "5m": "4s", "2m": "3s", "1m": "1s"}
_SECONDS = 34.0
"""A window and a half, and what an alert has to last."""

_JUDGED = 22
"""Seconds at the end in which alerts are looked at: Prometheus begins to scrape five seconds after its start."""

Samples = dict[str, float]
Played = Callable[[float], Mapping[str, Samples]]
"""Seconds since the start → job → samples."""


def healthy(seconds: float) -> dict[str, Samples]:
    """Everything that ends is stored."""
    count = float(int(seconds * RATE))
    return {
        "gateway": {
            'tracing_items_ended_total{signal="traces"}': count,
            'tracing_items_exported_total{signal="traces"}': count,
            'tracing_queue_items{signal="traces"}': 0,
            "process_start_time_seconds": 1,
        },
        "collector": {
            'otelcol_receiver_accepted_spans_total{receiver="otlp"}': count,
            'otelcol_receiver_refused_spans_total{receiver="otlp"}': 0,
            'otelcol_receiver_failed_spans_total{receiver="otlp"}': 0,
            'otelcol_exporter_sent_spans_total{exporter="otlp_grpc/traces"}': count,
            'otelcol_exporter_queue_size{exporter="otlp_grpc/traces",data_type="traces"}': 0,
            'otelcol_exporter_queue_capacity{exporter="otlp_grpc/traces",data_type="traces"}': 1e9,
            "otelcol_process_uptime_seconds_total": 1000 + seconds,
        },
        "trace-store": {
            'otelcol_exporter_sent_spans_total{exporter="jaeger_storage_exporter"}': count,
            "otelcol_process_uptime_seconds_total": 1000 + seconds,
        },
    }


def changed(change: Callable[[float, dict[str, Samples]], None], played: Played = healthy) -> Played:
    """`played` with something wrong."""

    def play(seconds: float) -> Mapping[str, Samples]:
        jobs = {job: dict(samples) for job, samples in played(seconds).items()}
        change(seconds, jobs)
        return jobs

    return play


# What counts a span once it has come so far, in the order of its way.
EXPORTED = ("gateway", 'tracing_items_exported_total{signal="traces"}')
ACCEPTED = ("collector", 'otelcol_receiver_accepted_spans_total{receiver="otlp"}')
SENT = ("collector", 'otelcol_exporter_sent_spans_total{exporter="otlp_grpc/traces"}')
QUEUED = ("collector", 'otelcol_exporter_queue_size{exporter="otlp_grpc/traces",data_type="traces"}')
CAPACITY = ("collector", 'otelcol_exporter_queue_capacity{exporter="otlp_grpc/traces",data_type="traces"}')
STORED = ("trace-store", 'otelcol_exporter_sent_spans_total{exporter="jaeger_storage_exporter"}')
WAY = (EXPORTED, ACCEPTED, SENT, STORED)


def since_6(seconds: float, share: float) -> float:
    """A share of the spans since the middle of the first window."""
    return float(int(max(0.0, seconds - 6) * RATE * share))


def lost_before(stage: tuple[str, str]) -> Played:
    """A tenth comes to the stage before and not to this one."""

    def change(seconds: float, jobs: dict[str, Samples]) -> None:
        for job, name in WAY[WAY.index(stage) :]:
            jobs[job][name] -= since_6(seconds, 0.1)

    return changed(change)


def dropped(seconds: float, jobs: dict[str, Samples]) -> None:
    """A tenth is given up, and said so."""
    jobs["gateway"]['tracing_items_dropped_total{signal="traces",reason="queue_full"}'] = since_6(seconds, 0.1)
    for job, name in WAY:
        jobs[job][name] -= since_6(seconds, 0.1)


def queued(share: float, capacity: float) -> Played:
    """The store does not take a share of the spans, and they wait."""

    def change(seconds: float, jobs: dict[str, Samples]) -> None:
        waiting = since_6(seconds, share)
        for job, name in (SENT, STORED):
            jobs[job][name] -= waiting
        jobs[QUEUED[0]][QUEUED[1]] = waiting
        jobs[CAPACITY[0]][CAPACITY[1]] = capacity

    return changed(change)


def restarted(seconds: float, jobs: dict[str, Samples]) -> None:
    """A Collector began anew in the middle."""
    if seconds > 15:
        at = float(15 * RATE)
        jobs["collector"]['otelcol_receiver_accepted_spans_total{receiver="otlp"}'] -= at
        jobs["collector"]['otelcol_exporter_sent_spans_total{exporter="otlp_grpc/traces"}'] -= at + RATE
        jobs["collector"]["otelcol_process_uptime_seconds_total"] = seconds - 15


def refused(seconds: float, jobs: dict[str, Samples]) -> None:
    """A Collector refuses what it is sent again."""
    jobs["collector"]['otelcol_receiver_refused_spans_total{receiver="otlp"}'] = float(int(seconds * 10))


def down(seconds: float, jobs: dict[str, Samples]) -> None:
    """A Collector does not answer."""
    if seconds > 15:
        del jobs["collector"]


def sampled(seconds: float) -> dict[str, Samples]:
    """A tenth is kept."""
    jobs = healthy(seconds)
    count = float(int(seconds * RATE))
    jobs["sampler"] = {
        'otelcol_receiver_accepted_spans_total{receiver="kafka"}': count,
        'otelcol_exporter_sent_spans_total{exporter="otlp_grpc/traces"}': count / 10,
        'otelcol_exporter_queue_size{exporter="otlp_grpc/traces",data_type="traces"}': 0,
        'otelcol_exporter_queue_capacity{exporter="otlp_grpc/traces",data_type="traces"}': 1e9,
        'otelcol_kafka_receiver_offset_lag{partition="0"}': 0,
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total": 0,
        "otelcol_process_uptime_seconds_total": 1000 + seconds,
    }
    jobs["trace-store"]['otelcol_exporter_sent_spans_total{exporter="jaeger_storage_exporter"}'] = count / 10
    return jobs


def behind(seconds: float, jobs: dict[str, Samples]) -> None:
    """The samplers read half of what comes."""
    unread = int(seconds * RATE / 2)
    jobs["sampler"]['otelcol_receiver_accepted_spans_total{receiver="kafka"}'] -= unread
    jobs["sampler"]['otelcol_kafka_receiver_offset_lag{partition="0"}'] = unread / 10


def vanished(_seconds: float, jobs: dict[str, Samples]) -> None:
    """Kafka has dropped half of it, and nothing is left to read."""
    jobs["sampler"]['otelcol_receiver_accepted_spans_total{receiver="kafka"}'] /= 2


def too_many(seconds: float, jobs: dict[str, Samples]) -> None:
    """More traces wait for their decision than fit."""
    jobs["sampler"]["otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total"] = int(seconds * 5)


@dataclass(frozen=True)
class Scenario:
    """What is played, and which alerts it must raise; no others."""

    played: Played
    raised: frozenset[str]


def scenario(played: Played, *raised: str) -> Scenario:
    return Scenario(played, frozenset(raised))


SCENARIOS = {
    "healthy": scenario(healthy),
    "lost in a service": scenario(lost_before(EXPORTED), "SpansMissing service"),
    "lost on the way to the Collectors": scenario(lost_before(ACCEPTED), "SpansMissing handover"),
    "lost in a Collector": scenario(lost_before(SENT), "SpansMissing collector"),
    "lost by the store": scenario(lost_before(STORED), "SpansMissing store"),
    "dropped": scenario(changed(dropped), "SpansDropped"),
    "store away": scenario(queued(1.0, 1e9), "CollectorQueueStuck"),
    "store slow": scenario(queued(0.5, 10 * RATE), "CollectorQueueFills"),
    "restarted": scenario(changed(restarted)),
    "refused": scenario(changed(refused), "CollectorRefuses"),
    "down": scenario(changed(down), "CollectorDown"),
    "sampled": scenario(sampled),
    "samplers behind": scenario(changed(behind, sampled), "SamplerBehind"),
    "lost in Kafka": scenario(changed(vanished, sampled), "SpansMissing kafka"),
    "samplers full": scenario(changed(too_many, sampled), "SamplerDropsTraces"),
}


def settings(*, with_samplers: bool) -> Settings:
    """Of a stack whose store is Jaeger."""
    stack = load("staging" if with_samplers else "dev")
    return stack.model_copy(update={"traces": stack.traces.model_copy(update={"backend": "jaeger"})})


def faster(rules: str) -> str:
    """The rules with shorter times."""
    return re.sub(r"\b(30m|10m|5m|2m|1m)\b", lambda match: _FASTER[match[1]], rules).replace(
        "tracing_spans_missing:12s", "tracing_spans_missing:30m"
    )


@dataclass
class Outcome:
    """What Prometheus saw of a scenario."""

    raised: set[str]
    texts: list[dict[str, str]]
    results: dict[str, float]


def play(name: str, directory: Path, binary: Path) -> Outcome:
    """Plays a scenario to a Prometheus of its own."""
    directory.mkdir()
    wanted = SCENARIOS[name]
    began = time.monotonic()

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            samples = wanted.played(time.monotonic() - began).get(self.path.strip("/"))
            self.send_response(404 if samples is None else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write("".join(f"{key} {value}\n" for key, value in (samples or {}).items()).encode())

        def log_message(self, *_: Any) -> None:
            pass

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    exporter.handle_error = lambda *_: None  # type: ignore[method-assign]  # a scrape that was given up
    threading.Thread(target=exporter.serve_forever, daemon=True).start()
    with_samplers = "sampler" in wanted.played(0)
    (directory / "rules.yml").write_text(faster(rule_file(groups(settings(with_samplers=with_samplers)))))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(directory / "rules.yml")],
        "scrape_configs": [
            {
                "job_name": job,
                "metrics_path": f"/{job}",
                "static_configs": [{"targets": [f"127.0.0.1:{exporter.server_port}"]}],
            }
            for job in wanted.played(0)
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    url = f"http://127.0.0.1:{free_port()}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={url.removeprefix('http://')}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def asked(query: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=5)
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def over() -> bool:
        assert process.poll() is None, (directory / "log").read_text()[-2000:]
        return time.monotonic() - began > _SECONDS

    try:
        poll_until("the end of the play", over, seconds=2 * _SECONDS, every=0.5)
        alerts = httpx.get(f"{url}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        fired = asked(f'count by (alertname, leg) (count_over_time(ALERTS{{alertstate="firing"}}[{_JUDGED}s]))')
        missing = {item["metric"]["leg"]: float(item["value"][1]) for item in asked("tracing_spans_missing:30m")}
        return Outcome(
            raised={f"{item['metric']['alertname']} {item['metric'].get('leg', '')}".strip() for item in fired},
            texts=[alert["annotations"] for alert in alerts],
            results=missing,
        )
    finally:
        process.kill()
        process.wait()
        exporter.shutdown()
        exporter.server_close()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """All scenarios, played at once."""
    built = Home.default().bin / "prometheus"
    found = built if built.is_file() else shutil.which("prometheus")
    if found is None:
        pytest.skip("no Prometheus to run: `python -m local.images build prometheus` builds it, as does `make up`")
    directory = tmp_path_factory.mktemp("scenarios")
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        done = pool.map(lambda item: play(item[1], directory / str(item[0]), Path(found)), enumerate(SCENARIOS))
        yield dict(zip(SCENARIOS, done, strict=True))


@pytest.mark.parametrize("name", SCENARIOS)
def test_alerts_tell_what_is_wrong_and_nothing_else(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    assert outcome.raised == SCENARIOS[name].raised, outcome.results
    for text in outcome.texts:
        assert not re.search(r"{{|<no value>|<error", "".join(text.values())), text


def test_every_alert_is_played_and_has_a_runbook() -> None:
    alerts = [
        rule
        for with_samplers in (False, True)
        for group in yaml.safe_load(rule_file(groups(settings(with_samplers=with_samplers))))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    raised = {name.partition(" ")[0] for scenario in SCENARIOS.values() for name in scenario.raised}
    assert {alert["alert"] for alert in alerts} == raised
    for alert in alerts:
        runbook = RUNBOOKS / Path(alert["annotations"]["runbook"]).name
        assert runbook.is_file(), alert["alert"]
        assert f"## {alert['alert']}" in runbook.read_text(), alert["alert"]
