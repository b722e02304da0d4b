"""The services call each other by TLS: through the proxies of their pods, whose certificate they verify."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from lean_tracing.testing import Recorder
from service.gateway.check import TaskManagerCheck
from stack.clients.access import Access
from stack.polling import poll_until
from tests.support.proxied import ADDRESS, AUTHORITY
from tests.support.system import System, running_system


def _finished(client: httpx.Client, path: str) -> dict[str, Any] | None:
    task: dict[str, Any] = client.get(path).json()
    return task if task.get("status") in ("completed", "error") else None


def _behind_proxy(url: str) -> str:
    return url.replace("http://127.0.0.1", f"https://{ADDRESS}")


@pytest.fixture
def system(kafka: str, make_recorder: Callable[[str], Recorder], tmp_path: Path) -> Any:
    with running_system({"KAFKA_BOOTSTRAP_SERVERS": kafka}, make_recorder, tmp_path, encrypted=True) as running:
        yield running


def test_a_task_passes_through_services_with_tls(system: System) -> None:
    gateway = _behind_proxy(system.urls["gateway"])
    body = {"user_email": "ada@example.com", "user_query": "what is here?", "base_url": f"{gateway}/demo"}
    with Access(ca=AUTHORITY.certificate).client() as client:
        answer = client.post(f"{gateway}/api/tasks", json=body).raise_for_status()
        task = poll_until(
            "the end of the task", partial(_finished, client, f"{gateway}/api/tasks/{answer.json()['id']}")
        )
    assert task["status"] == "completed", task
    assert task["result"]["title"] == "A page to crawl"
    request = system.recorders["gateway"].attributes("POST /api/tasks")
    assert request["url.scheme"] == "https"
    fetch = system.recorders["web-crawler"].attributes("GET")
    assert fetch["url.full"] == f"{gateway}/demo"


def test_a_task_manager_with_the_certificate_of_another_authority_is_not_asked(system: System) -> None:
    check = TaskManagerCheck(_behind_proxy(system.urls["task-manager"]))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        check()
    check.close()


def test_a_service_takes_no_request_in_clear(system: System) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(system.urls["gateway"].replace("127.0.0.1", ADDRESS))
