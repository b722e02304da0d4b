"""Tasks that the gateway accepted while parts of the stack failed: each must be completed."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from contracts import http
from contracts.services import TASK_MANAGER
from stack.kubernetes.client import connect
from stack.polling import poll_until
from stack.probe.request import OWN_PAGE, authorization
from stack.settings import Settings
from stack.stores import Stores


class AcceptedTasks:
    """Submits tasks through a gateway, and remembers those that it accepted."""

    def __init__(self, gateway: httpx.Client, namespace: str) -> None:
        """Submits nothing yet.

        Args:
            gateway: client of the gateway.
            namespace: of the stack, for messages.
        """
        self._gateway = gateway
        self._namespace = namespace
        self.ids: list[str] = []

    def submit(self, number: int) -> float:
        """Submit a task again and again until it is accepted.

        Args:
            number: of the task, in its texts.

        Returns:
            Seconds until it was accepted.

        Raises:
            CheckFailure: it was not accepted within two minutes.
        """
        body = {"user_email": f"{number}@example.com", "user_query": f"outage {number}", "base_url": OWN_PAGE}
        # The same key in each attempt: a lost answer must not make a second task.
        key = str(uuid.uuid4())

        def accepted() -> str | None:
            answer = self._gateway.post(http.TASKS, json=body, headers={"Idempotency-Key": key})
            if answer.status_code == 503:
                return None
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])

        started = time.monotonic()
        self.ids.append(
            poll_until(f"task {number} to be accepted", accepted, seconds=120, every=0.25, look_at="kubectl get pods")
        )
        return time.monotonic() - started

    def require_completed(self) -> None:
        """Wait until all are finished.

        Raises:
            CheckFailure: they were not within three minutes.
            AssertionError: two submissions got one task, or a task was not completed.
        """
        assert len(set(self.ids)) == len(self.ids)

        ended: dict[str, str] = {}

        def finished() -> bool:
            # A task is read until it has ended, and then no more: the gateway limits the reads of a caller.
            for task in self.ids:
                answer = self._gateway.get(f"{http.TASKS}/{task}") if task not in ended else None
                if answer and answer.is_success and answer.json()["status"] != "new":
                    ended[task] = answer.json()["status"]
            return len(ended) == len(self.ids)

        look_at = f"kubectl -n {self._namespace} logs deploy/{TASK_MANAGER}"
        poll_until("all accepted tasks to be finished", finished, seconds=180, every=0.25, look_at=look_at)
        assert {task: status for task, status in ended.items() if status != "completed"} == {}


@contextmanager
def accepted_tasks(settings: Settings) -> Iterator[AcceptedTasks]:
    """Connect to the gateway of a stack."""
    stores = Stores(settings=settings, client=connect(settings.cluster))
    headers = authorization(stores.stack_key())
    with stores.gateway() as url, httpx.Client(base_url=url, timeout=15.0, headers=headers) as gateway:
        yield AcceptedTasks(gateway, settings.cluster.namespace)
