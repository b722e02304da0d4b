"""The rendered configuration is one that the real Collector accepts, and keeps the rules that no span is lost by."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.pipeline import Pipeline, render
from local.paths import Home
from stack.render import render as render_stack


def config() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(render(Pipeline(trace_store="tempo:4317", queue_size=5000)))
    return document


def test_the_limiter_is_first_and_nothing_is_batched_outside_of_the_queue() -> None:
    for pipeline in (config()["service"]["pipelines"]["traces"],):
        assert pipeline["processors"][0] == "memory_limiter"
        assert not [name for name in pipeline["processors"] if name.startswith("batch")]


def test_the_queue_is_on_disk_and_never_gives_up() -> None:
    exporter = config()["exporters"]["otlp/traces"]
    queue = exporter["sending_queue"]
    assert (queue["storage"], queue["block_on_overflow"], queue["queue_size"]) == ("file_storage/queue", True, 5000)
    assert exporter["retry_on_failure"]["max_elapsed_time"] == 0
    assert config()["extensions"]["file_storage/queue"]["fsync"] is True


@pytest.mark.cluster
@pytest.mark.parametrize("stack", ["local", "dev"])
def test_the_real_collector_accepts_it(stack: str, tmp_path: Path) -> None:
    binary = Home.default().bin / "otelcol-contrib"
    assert binary.is_file(), "`make up` builds it"
    manifest = next(item for item in render_stack(stack) if item["metadata"]["name"] == "collector-config")
    file = tmp_path / "config.yaml"
    file.write_text(manifest["data"]["config.yaml"].replace("/var/lib/otelcol", str(tmp_path / "queue")))
    done = subprocess.run([binary, "validate", f"--config={file}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
