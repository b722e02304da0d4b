"""Runs the real Tempo as a process on this machine, with the stack's configuration."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from checks.harness.collector import MissingProgram
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from stack.clients.traces import TraceStoreClient
from stack.components.trace_store.config import TEMPO_CONFIG, TEMPO_DATA


def binary() -> str:
    """Returns the Tempo on PATH.

    Raises:
        MissingProgram: there is none.
    """
    if program := shutil.which("tempo"):
        return program
    raise MissingProgram("no tempo on PATH: Grafana publishes it as a container image and a download")


@contextmanager
def running(
    binary: str, config: dict[str, Any], directory: Path, environment: Mapping[str, str] = {}
) -> Iterator[tuple[str, TraceStoreClient, ServerProcess]]:
    """Tempo as a process, which is killed in the end: host:port of its OTLP, its API, and the process."""
    otlp, http = f"127.0.0.1:{free_port()}", free_port()
    config["server"] = {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": http,
        "grpc_listen_address": "127.0.0.1",
        "grpc_listen_port": free_port(),
    }
    config["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = otlp
    paths = {
        "wal": {"path": f"{TEMPO_DATA}/live-store/traces"},
        "shutdown_marker_dir": f"{TEMPO_DATA}/live-store/marker",
    }
    config["live_store"] = {**config.get("live_store", {}), **paths}  # their defaults are outside of the directory
    config["memberlist"] = {"bind_addr": ["127.0.0.1"], "bind_port": free_port()}
    file = directory / "tempo.yaml"
    text = yaml.safe_dump(config).replace(TEMPO_DATA, str(directory / "data")).replace(TEMPO_CONFIG, str(directory))
    file.write_text(text)
    url = f"http://127.0.0.1:{http}"
    command = [binary, f"-config.file={file}"]
    process = ServerProcess("tempo", command, directory, lambda: answers(f"{url}/ready"), environment)
    try:
        process.start()
        yield otlp, TraceStoreClient("tempo", url), process
    finally:
        process.kill()
