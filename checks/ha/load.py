"""The load, as a process of its own: `python -m checks.ha.load`, in the network of one node.

Its packets pass the proxy of that node, as those of a pod do. It runs until its standard input is closed, and writes
what was acknowledged and what failed.
"""

import json
import os
import sys
from pathlib import Path
from typing import Final

from checks.chaos.ledger import Ledger
from checks.chaos.load import Load
from checks.chaos.requests import Requests
from checks.harness.traffic import Traffic

TOKEN: Final = "OTLP_TOKEN"
"""Variable with the Collectors' token."""
KEY: Final = "GATEWAY_KEY"
"""Variable with the API key for the gateway; empty if it needs none."""
SPANS: Final = "spans.ledger"
RESULT: Final = "load.json"
CONNECT_RETRIES: Final = 5
_ENDLESS: Final = 10**9


def main(run: str, gateway: str, collector: str, directory: Path, rate: float, spans_rate: float) -> None:
    """Sends requests and spans until the standard input is closed.

    Args:
        run: text that no other run has.
        gateway: base URL of the gateway.
        collector: host:port of the Collectors' OTLP over gRPC.
        directory: of the results.
        rate: requests per second.
        spans_rate: spans per second.
    """
    traffic = Traffic(gateway, rate, keep=False, connect_retries=CONNECT_RETRIES, key=os.environ.get(KEY, ""))
    with Ledger(directory / SPANS) as ledger:
        token = os.environ.get(TOKEN)
        spans = Load(Requests(run), ledger, collector, token, spans=_ENDLESS, rate=spans_rate)
        with traffic, spans.running():
            sys.stdin.read()
    result = {
        "answers": dict(traffic.answers),
        "tasks": traffic.created,
        "failures": [
            [failure.method, failure.reason, failure.started.timestamp(), failure.time.timestamp()]
            for failure in traffic.failures
        ],
        "resent": spans.resent,
    }
    (directory / RESULT).write_text(json.dumps(result))


if __name__ == "__main__":
    name, gateway, collector, directory, rate, spans_rate = sys.argv[1:]
    main(name, gateway, collector, Path(directory), float(rate), float(spans_rate))
