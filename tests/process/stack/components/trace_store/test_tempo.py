"""The real Tempo, where it is on PATH: it takes the configuration of every stack, and deletes what is past its time."""

import subprocess
import time
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from checks.chaos.requests import Requests
from checks.harness.s3 import ACCESS
from checks.harness.tempo import running
from lean_tracing.otlp_exporter import TRACES
from stack.clients.traces import TraceStoreClient
from stack.components.trace_store.config import TEMPO_DATA, distributed_config, tempo_config
from stack.components.trace_store.settings import Traces
from stack.polling import poll_until
from stack.probe.request import PROBE
from stack.probe.root import RootSpan
from stack.probe.search import is_searchable, task_query
from stack.settings import Settings, load
from tests.support.object_storage import empty, object_storage
from tests.support.otlp_json import encode
from tests.support.probed_stack import TASK, ProbedStack
from tests.support.programs import require_program

Config = dict[str, Any]


@pytest.fixture
def binary() -> str:
    return str(require_program("tempo"))


def configs(settings: Settings) -> Config:
    """What `stack/` renders for a stack, by the part of Tempo that reads it."""
    traces = settings.traces
    if traces.distributed is None:
        return {"all": tempo_config(traces, settings.retention)}
    parts = "distributor live-store block-builder query-frontend querier backend-scheduler backend-worker"
    return dict.fromkeys(parts.split(), distributed_config(traces, settings.retention, "kafka:9092"))


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_it_takes_the_configuration_of_every_stack(stack: str, binary: str, tmp_path: Path) -> None:
    settings = load(stack)
    if settings.traces.backend != "tempo":
        settings = settings.model_copy(update={"traces": Traces()})
    file = tmp_path / "tempo.yaml"
    for target, config in configs(settings).items():
        file.write_text(yaml.safe_dump(config))
        command = [binary, f"-config.file={file}", f"-target={target}", "-config.verify=true"]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, f"{target}: {checked.stdout}{checked.stderr}"
        assert "level=warn" not in checked.stderr, f"{target}: {checked.stderr}"


def test_the_check_refuses_what_tempo_does_not_know(binary: str, tmp_path: Path) -> None:
    file = tmp_path / "tempo.yaml"
    file.write_text(yaml.safe_dump(tempo_config(Traces(), "48h") | {"compactor": {}}))
    command = [binary, f"-config.file={file}", "-config.verify=true"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0


def test_a_search_finds_a_trace_within_seconds(binary: str, tmp_path: Path) -> None:
    requests = Requests("new")
    trace_id = next(iter(requests.traces(0)))
    with running(binary, tempo_config(Traces(), "48h"), tmp_path) as (otlp, store, _):
        start = time.time()
        with grpc.insecure_channel(otlp) as channel:
            channel.unary_unary(TRACES)(requests.encode(0), timeout=10, wait_for_ready=True)

        def is_found() -> bool:
            return is_searchable(store, trace_id, task_query("tempo", "new-0-0"), start=start, end=time.time())

        # 2 s; with Tempo's own defaults more than 30 s.
        poll_until("a search that finds the trace", is_found, seconds=15, every=0.1)


def test_a_search_shows_the_service_and_the_name_of_the_probes_root_span(binary: str, tmp_path: Path) -> None:
    stack = ProbedStack(started=time.time_ns(), trace_id="a" * 32, span_id="b" * 16)
    now = time.time_ns()
    root = RootSpan(
        trace_id=stack.trace_id, span_id=stack.span_id, caller=PROBE, started=now, ended=now + 1, task_id=TASK
    )

    def shown(store: TraceStoreClient) -> tuple[str, str] | None:
        end = time.time()
        results = store.search(task_query("tempo", TASK), start=end - 600, end=end + 60)
        return (results[0].service, results[0].name) if results else None

    with (
        running(binary, tempo_config(Traces(), "48h"), tmp_path) as (otlp, store, _),
        grpc.insecure_channel(otlp) as channel,
    ):
        export = channel.unary_unary(TRACES)
        export(encode(stack.spans(), stack.trace_id), timeout=10, wait_for_ready=True)
        without_root = poll_until("the trace without its root", lambda: shown(store), seconds=15, every=0.1)
        assert without_root == ("<root span not yet received>", "")
        export(encode(root.to_otlp("test")["resourceSpans"], stack.trace_id), timeout=10)
        poll_until("the root", lambda: shown(store) == ("probe", "request"), seconds=15, every=0.1)


def test_what_is_older_than_the_retention_is_gone(binary: str, tmp_path: Path) -> None:
    # Longer than a busy machine needs to write a block: otherwise the block would be deleted before the test reads it.
    config = tempo_config(Traces(), "20s")
    # Only faster than by default, so that a test can wait for it.
    config["live_store"] = {
        "max_trace_idle": "500ms",
        "max_block_duration": "1s",
        "flush_check_period": "500ms",
        "flush_op_timeout": "1s",
        # Also after which a block that is still to be written is given up.
        "complete_block_timeout": "15s",
    }
    config["storage"]["trace"]["blocklist_poll"] = "1s"
    config["backend_scheduler"] = {
        "provider": {"retention": {"interval": "1s"}},
        "local_work_path": f"{TEMPO_DATA}/scheduler",
    }
    config["backend_worker"]["compaction"]["compacted_block_retention"] = "1s"
    requests = Requests("old")
    trace_id = next(iter(requests.traces(0)))

    def blocks() -> list[Path]:
        return list((tmp_path / "data" / "blocks").rglob("data.parquet"))

    with running(binary, config, tmp_path) as (otlp, store, _):
        with grpc.insecure_channel(otlp) as channel:
            channel.unary_unary(TRACES)(requests.encode(0), timeout=10, wait_for_ready=True)
        poll_until("the block that is written", blocks, every=0.2)
        assert store.trace(trace_id)
        poll_until("the block that is deleted", lambda: not blocks(), seconds=90, every=0.5)
        poll_until("the trace that is gone", lambda: not store.trace(trace_id), every=0.5)


def test_traces_outlive_a_kill_the_disk_and_an_unavailable_storage(binary: str, tmp_path: Path) -> None:
    first, second = Requests("first"), Requests("second")

    def send(otlp: str, requests: Requests) -> None:
        with grpc.insecure_channel(otlp) as channel:
            channel.unary_unary(TRACES)(requests.encode(0), timeout=10, wait_for_ready=True)

    with object_storage(tmp_path / "storage") as storage:
        storage.trust(tmp_path)
        config = tempo_config(Traces(object_storage=storage.settings("traces")), "48h")
        # Only faster than by default, so that a test can wait for it.
        config["live_store"] |= {"max_block_duration": "1s", "flush_op_timeout": "1s"}
        config["storage"]["trace"]["blocklist_poll"] = "1s"

        def blocks() -> int:
            return sum(file.name == "meta.json" for file in storage.files("traces"))

        with running(binary, deepcopy(config), tmp_path, ACCESS) as (otlp, _, _):
            send(otlp, first)
            poll_until("a block in the bucket", blocks, every=0.2)
            storage.server.kill()
            send(otlp, second)
            time.sleep(5)  # in which it tries to write the second block
            storage.server.start()
            poll_until("the second block", lambda: blocks() >= 2, every=0.2)
        empty(tmp_path / "data")
        with running(binary, deepcopy(config), tmp_path, ACCESS) as (_, store, _):
            for requests in (first, second):
                trace_id = next(iter(requests.traces(0)))
                poll_until(f"trace {trace_id}", partial(store.trace, trace_id), every=0.2)
