"""The load, as a process of its own: `python -m checks.ha.load`, in the network of one node.

Spans go through the proxy of that node, as those of a pod do; requests go through a front door. The process runs until
its standard input is closed, and writes what was acknowledged and what failed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Final

from checks.chaos.ledger import Ledger
from checks.chaos.load import Load
from checks.chaos.requests import Requests
from checks.ha.front_door import FrontDoor, ReadyPods
from checks.harness.traffic import Page, Traffic
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.kubernetes.settings import Cluster

TOKEN: Final = "OTLP_TOKEN"
"""Variable with the Collectors' token."""
KEY: Final = "GATEWAY_KEY"
"""Variable with the API key for the gateway; empty if it needs none."""
SPANS: Final = "spans.ledger"
RESULT: Final = "load.json"
_ANSWER_SECONDS: Final = 30.0
"""A user waits so long. Ingress controllers wait 60 s by default."""
_ENDLESS: Final = 10**9


def main(
    run: str, cluster: Cluster, collector: str, page: str, directory: Path, rate: float, spans_rate: float
) -> None:
    """Sends requests and spans until the standard input is closed.

    Args:
        run: text that no other run has.
        cluster: with the gateway.
        collector: host:port of the Collectors' OTLP over gRPC.
        page: URL that the tasks crawl.
        directory: of the results.
        rate: requests per second.
        spans_rate: spans per second.
    """
    pods = ReadyPods(connect(cluster), cluster.namespace, GATEWAY)
    traffic = Traffic(
        f"http://{GATEWAY}",
        rate,
        choose=lambda: Page(user="traffic@example.com", url=page),
        transport=FrontDoor(pods.addresses),
        seconds=_ANSWER_SECONDS,
        key=os.environ.get(KEY, ""),
    )
    with Ledger(directory / SPANS) as ledger:
        token = os.environ.get(TOKEN)
        spans = Load(Requests(run), ledger, collector, token, spans=_ENDLESS, rate=spans_rate)
        with pods.followed(), traffic, spans.running():
            sys.stdin.read()
    result = {
        "answers": dict(traffic.answers),
        "tasks": traffic.created,
        "failures": [
            [failure.method, failure.reason, failure.started.timestamp(), failure.time.timestamp()]
            for failure in traffic.failures
        ],
        "slowest": traffic.slowest,
        "resent": spans.resent,
    }
    (directory / RESULT).write_text(json.dumps(result))


if __name__ == "__main__":
    name, settings, collector, page, directory, rate, spans_rate = sys.argv[1:]
    cluster = Cluster.model_validate_json(settings)
    main(name, cluster, collector, page, Path(directory), float(rate), float(spans_rate))
