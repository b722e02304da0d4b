"""The imports that are allowed: the domain and the use cases know nothing of HTTP, Kafka, SQL or OpenTelemetry."""

import ast
import sys
from pathlib import Path

import pytest

from contracts import services
from contracts.tasks import TaskStatus

SERVICE = Path(__file__).parents[3] / "service"
PACKAGES = tuple(services.PACKAGES.values())


def _imports(module: Path) -> set[str]:
    """Full names of the modules that `module` imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize(
    ("module", "inside"),
    [
        ("domain", ("contracts.tasks",)),
        ("ports", ("contracts.tasks", "service.task_manager.domain")),
        ("use_cases", ("contracts.tasks", "service.task_manager.domain", "service.task_manager.ports")),
    ],
)
def test_the_inside_imports_the_standard_library_and_itself(module: str, inside: tuple[str, ...]) -> None:
    standard = {"__future__", "collections", "contextlib", "dataclasses", "datetime", "enum", "typing", "uuid"}
    outside = {
        name
        for name in _imports(SERVICE / "task_manager" / f"{module}.py")
        if name.partition(".")[0] not in standard and not name.startswith(inside)
    }
    assert not outside


def test_the_contract_of_tasks_imports_the_standard_library_only() -> None:
    names = {name.partition(".")[0] for name in _imports(SERVICE.parent / "contracts" / "tasks.py")}
    assert names <= set(sys.stdlib_module_names)
    assert [status.value for status in TaskStatus] == ["new", "completed", "error"], "stored in databases and topics"


@pytest.mark.parametrize("service", PACKAGES)
def test_services_share_only_the_common_code(service: str) -> None:
    others = tuple(f"service.{other}" for other in (*PACKAGES, "dev") if other != service)
    for module in (SERVICE / service).rglob("*.py"):
        assert not [name for name in _imports(module) if name.startswith(others)], module


def test_the_common_code_imports_no_service() -> None:
    for module in (SERVICE / "common").rglob("*.py"):
        assert not [name for name in _imports(module) if name.startswith(tuple(f"service.{one}" for one in PACKAGES))]


@pytest.mark.parametrize("client", ["confluent_kafka", "sqlalchemy", "httpx"])
def test_only_adapters_and_wiring_use_client_libraries(client: str) -> None:
    allowed = {
        "confluent_kafka": {
            "common/kafka/client.py",
            "common/kafka/consumer.py",
            "common/kafka/handled.py",
            "common/kafka/offsets.py",
            "common/kafka/processing.py",
            "common/kafka/publisher.py",
            "common/kafka/topics.py",
            "dev/system.py",
        },
        "sqlalchemy": {
            "task_manager/config.py",
            "task_manager/migrate.py",
            "task_manager/migrations/__init__.py",
            "task_manager/migrations/versions/0001_tasks.py",
            "task_manager/migrations/versions/0002_synthetic_tasks.py",
            "task_manager/migrations/versions/0003_owner.py",
            "task_manager/postgres.py",
            "task_manager/schema.py",
        },
        "httpx": {
            "crawler/addresses.py",
            "crawler/fetch.py",
            "crawler/network.py",
            "dev/__main__.py",
            "dev/system.py",
            "gateway/access/build.py",
            "gateway/access/key_set.py",
            "gateway/api.py",
            "gateway/bootstrap.py",
            "gateway/check.py",
        },
    }
    users = {
        str(module.relative_to(SERVICE))
        for module in SERVICE.rglob("*.py")
        if any(name.partition(".")[0] == client for name in _imports(module))
    }
    assert users == allowed[client]
