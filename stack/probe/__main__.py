"""`python -m stack.probe`: proves once a minute, until SIGTERM, that the telemetry of one request is complete."""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from contracts.errors import UserError
from stack.clients.access import Access
from stack.clients.http import Get
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.probe.certificates import Certificates
from stack.probe.config import ProbeConfig
from stack.probe.loop import Loop
from stack.probe.proof import STORE_SECONDS, Proof, Prover
from stack.probe.results import Results
from stack.probe.root import Collector
from stack.probe.server import serve
from stack.probe.stopping import stop_event
from stack.probe.telemetry import Step, Telemetry


def build(config: ProbeConfig, client: httpx.Client, stopping: threading.Event) -> tuple[Loop, Results]:
    """Builds the probe from its parts.

    Args:
        config: its variables.
        client: reaches the stack's own programs.
        stopping: ends the probe.
    """
    traces = config.traces_access.client() if config.traces_access else client
    metrics = config.prometheus_access.client() if config.prometheus_access else client
    logs = config.loki_access.client() if config.loki_access else client
    gateway = Access(ca=config.gateway_ca).client() if config.gateway_ca else client
    collectors = Access(ca=config.collector_ca).client() if config.collector_ca else client
    telemetry = Telemetry(
        collector=Collector(
            url=config.collector, token=config.otlp_token, environment=config.environment, post=collectors.post
        ),
        traces=TraceStoreClient(config.trace_backend, config.traces, _limited(traces.get)),
        prometheus=PrometheusClient(config.prometheus, _limited(metrics.get)),
        loki=LokiClient(config.loki, _limited(logs.get)) if config.loki else None,
        tail_sampling=config.tail_sampling,
    )
    results = Results(step for step in Step if config.loki or step is not Step.LOGS)
    if config.certificates:
        results.registry.register(Certificates(Path(config.certificates)))

    def prove() -> Proof:
        prover = Prover(
            gateway=config.gateway,
            key=config.gateway_key,
            client=gateway,
            telemetry=telemetry,
            sleep=loop.sleep,
            visible_seconds=config.visible_seconds,
        )
        return prover.prove()

    loop = Loop(prove, results.add, config.interval_seconds, stopping)
    return loop, results


def _limited(get: Get) -> Get:
    """Return a `get` whose answers have less time than other clients give them: a step looks many times."""

    def get_in_time(url: str, **options: Any) -> httpx.Response:
        return get(url, **{**options, "timeout": STORE_SECONDS})

    return get_in_time


def main() -> int:
    """Runs the probe; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request
    try:
        config = ProbeConfig.from_env(os.environ)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Without encryption, the stack's own programs speak plain HTTP in the cluster, and need no proxy.
    with httpx.Client(verify=False, trust_env=False) as client:
        loop, results = build(config, client, stop_event())
        server = serve(config.host, config.port, results.registry, lambda: loop.is_alive)
        loop.run()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
