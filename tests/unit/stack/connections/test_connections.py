"""The matrix has a row for each dependency of each pod, and names a Service without a ready pod."""

import json
from collections.abc import Sequence

import pytest
from rich.console import Console

from stack.connections.command import table
from stack.connections.connections import Connection, Source, connections
from stack.connections.targets import targets

GATEWAY = Source(
    pod="gateway-1",
    container="gateway",
    environment={"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "TASK_MANAGER_URL": "http://task-manager:8080"},
)


def manager_cut_off(_: Source, command: Sequence[str]) -> str:
    outcomes = {"kafka:9092": "OK", "task-manager:8080": "timed out"}
    return json.dumps([{"address": address, "outcome": outcomes[address], "ms": 1.5} for address in command[4:]])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-0:9092,kafka-1:9092", ["kafka-0:9092", "kafka-1:9092"]),
        ("DATABASE_URL", "postgresql+psycopg://tasks:hunter2@postgres:5432/tasks", ["postgres:5432"]),
        (
            "DATABASE_URL",
            "postgresql+psycopg://tasks@/tasks?host=a.example:5433&host=b.example&sslmode=verify-full",
            ["a.example:5433", "b.example:5432"],
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317", ["collector:4317"]),
        ("TRACES_URL", "https://traces.example/api", ["traces.example:443"]),
        ("CRAWLER_ALLOWED_HOSTS", "gateway:8080", ["gateway:8080"]),
        ("CRAWLER_ALLOWED_HOSTS", "*", []),
        ("OTEL_SERVICE_NAME", "gateway:1", []),
        ("DATABASE_URL", "sqlite:///tasks.db", []),
        ("TRACES_URL", "http://$(HOST):$(PORT)", []),
        ("TRACES_URL", "http://[fd00::1", []),
    ],
)
def test_the_targets_are_those_of_the_environment(name: str, value: str, expected: list[str]) -> None:
    assert targets({name: value}) == expected


def test_only_a_failed_connection_names_the_service_without_a_pod() -> None:
    kafka, manager = connections([GATEWAY], manager_cut_off, frozenset({"task-manager", "kafka"}))
    assert (kafka.outcome, kafka.is_ok) == ("OK", True)
    assert (manager.outcome, manager.is_ok) == ("timed out: no ready pod behind the Service task-manager", False)
    (_, cut_off) = connections([GATEWAY], manager_cut_off, frozenset())
    assert cut_off.outcome == "timed out"


def test_a_pod_that_runs_no_command_has_its_rows() -> None:
    def refuse(_: Source, __: Sequence[str]) -> str:
        raise OSError("container not found")

    results = connections([GATEWAY], refuse, frozenset())
    assert {result.outcome for result in results} == {"not tried, the pod runs no command: container not found"}
    assert not any(result.is_ok for result in results)
    console = Console(width=140, record=True)
    console.print(table(results))
    assert "task-manager:8080" in console.export_text()


def test_the_brackets_of_an_ipv6_address_are_printed() -> None:
    console = Console(width=140, record=True)
    console.print(table([Connection(pod="gateway-1", address="[fd00::1]:9092", outcome="OK", ms=1.0)]))
    assert "[fd00::1]:9092" in console.export_text()
