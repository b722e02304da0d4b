"""The real Tempo and Loki with the storage of Google's and Microsoft's clouds: data outlive the disks of the stores.

The clouds are fake-gcs-server and Azurite on PATH; without them the tests are skipped.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from checks.chaos.requests import Requests
from checks.harness.http import CLIENT
from checks.harness.tempo import running
from lean_tracing.otlp_exporter import TRACES
from stack.components.loki.settings import Logs
from stack.components.trace_store.config import tempo_config
from stack.components.trace_store.settings import Traces
from stack.polling import poll_until
from tests.support.clouds import Cloud, cloud
from tests.support.loki_process import LokiProcess
from tests.support.object_storage import empty
from tests.support.programs import require_program

_PREFIX = "telemetry"
_HOUR = 3600 * 10**9


@pytest.fixture(params=["gcs", "azure"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    with cloud(request.param, tmp_path / "cloud", _PREFIX) as made:
        yield made


def test_traces_outlive_the_disk_of_tempo(storage: Cloud, tmp_path: Path) -> None:
    requests, binary = Requests("first"), str(require_program("tempo"))
    trace_id = next(iter(requests.traces(0)))

    def config() -> dict[str, object]:
        made = tempo_config(Traces(object_storage=storage.storage), "48h")
        # Only faster than by default, so that a test can wait for it.
        made["live_store"] |= {"max_block_duration": "1s", "flush_op_timeout": "1s"}
        made["storage"]["trace"]["blocklist_poll"] = "1s"
        return made

    with running(binary, config(), tmp_path, storage.environment) as (otlp, _, _):
        with grpc.insecure_channel(otlp) as channel:
            channel.unary_unary(TRACES)(requests.encode(0), timeout=10, wait_for_ready=True)
        poll_until("a block in the bucket", lambda: any("meta.json" in name for name in storage.objects(_PREFIX)))
    empty(tmp_path / "data")
    with running(binary, config(), tmp_path, storage.environment) as (_, store, _):
        poll_until(f"trace {trace_id}", partial(store.trace, trace_id), every=0.2)


def test_lines_outlive_the_disk_of_loki(storage: Cloud, tmp_path: Path) -> None:
    settings = Logs(memory="256Mi", object_storage=storage.storage)
    loki = LokiProcess(tmp_path, settings=settings, environment=storage.environment)
    now = time.time_ns()
    expected = {f"line {number}": now + number for number in range(100)}
    try:
        loki.start()
        loki.write("gateway", expected)
        assert CLIENT.post(f"{loki.url}/flush", timeout=30).is_success
        poll_until("a chunk in the bucket", lambda: storage.objects(_PREFIX))
        # Loki writes its index to the storage every 15 minutes, and when it stops.
        loki.stop()
        empty(tmp_path / "data")
        loki.start()
        lines = loki.query('{service_name="gateway"}', now - _HOUR, now + _HOUR)
        assert {line for _, _, line in lines} == expected.keys()
    finally:
        loki.kill()
