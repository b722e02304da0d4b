"""The newest warning of each service, as a real Loki has it."""

import time
from collections.abc import Sequence
from pathlib import Path

from checks.harness.http import CLIENT
from stack.clients.loki import LokiClient
from stack.explain.logs import newest_warnings
from stack.polling import CheckFailure, poll_until
from tests.support.loki_process import LokiProcess, otlp


def _write(loki: LokiProcess, service: str, level: str, lines: dict[str, int]) -> None:
    request = otlp(lines, service_name=service)
    for record in request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        record["severityText"] = level
    CLIENT.post(f"{loki.url}/otlp/v1/logs", json=request, timeout=30).raise_for_status()


def test_each_service_has_its_newest_warning_and_the_number_of_the_last_minute(tmp_path: Path) -> None:
    loki = LokiProcess(tmp_path)
    loki.start()
    start = time.time_ns()
    second = 1_000_000_000
    _write(
        loki,
        "web-crawler",
        "WARNING",
        {"page not fetched": start - 10 * second, "too slow": start - 20 * second, "long ago": start - 200 * second},
    )
    _write(loki, "web-crawler", "INFO", {"page fetched": start - second})
    _write(loki, "task-manager", "ERROR", {"the database is unavailable": start - 100 * second})
    _write(loki, "gateway", "INFO", {"task accepted": start - second})
    client = LokiClient(loki.url)

    def rows() -> Sequence[str]:
        rows = newest_warnings(client, start / 1e9)
        if len(rows) < 2:
            raise CheckFailure(f"there are {rows}", "Loki")
        return rows

    written = poll_until("both services' lines", rows, seconds=30, every=0.5, look_at="Loki")
    loki.kill()
    assert written == [
        "task-manager: 0 in the last minute; the newest 100 s ago: ERROR the database is unavailable",
        "web-crawler: 2 in the last minute; the newest 10 s ago: WARNING page not fetched",
    ]
