"""`python -m stack.publisher`: writes the stack's dashboards into Grafana, every five minutes until SIGTERM.

Once would not do: a Grafana that lost its state, or whose dashboards a person changed, gets them again.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from contracts import endpoints, metrics
from stack.clients.access import Access
from stack.clients.http import QueryError
from stack.probe.server import serve
from stack.probe.stopping import stop_event
from stack.publisher.api import GrafanaApi
from stack.publisher.content import Content
from stack.publisher.publish import Publisher

_INTERVAL_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 15.0
_logger = logging.getLogger(__name__)


def main() -> int:
    """Run the publisher; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request
    stopping = stop_event()
    headers = {"Authorization": f"Bearer {os.environ['GRAFANA_TOKEN']}"}
    is_published = False
    registry = CollectorRegistry()
    success = Gauge(metrics.PUBLISHER_SUCCESS, "Time of the last success; 0 if never.", registry=registry)
    server = serve(
        os.environ.get("HOST", ""),
        int(os.environ.get("PORT", endpoints.SERVICE_PORT)),
        registry,
        is_alive=lambda: True,
        is_ready=lambda: is_published,
    )
    with Access(headers=headers, ca=os.environ.get("GRAFANA_CA", "")).client() as client:
        publisher = Publisher(GrafanaApi(client, os.environ["GRAFANA_URL"]))
        while not stopping.is_set():
            is_published = _publish(publisher)
            if is_published:
                success.set_to_current_time()
            stopping.wait(_INTERVAL_SECONDS if is_published else _RETRY_SECONDS)
    server.shutdown()
    return 0


def _publish(publisher: Publisher) -> bool:
    try:
        changes = publisher.publish(Content.read(Path(os.environ["CONTENT_FILE"]), os.environ))
    except QueryError as error:
        _logger.error("%s", error)
        return False
    if changes:
        _logger.info("written: %s", ", ".join(changes))
    return True


if __name__ == "__main__":
    sys.exit(main())
