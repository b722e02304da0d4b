"""Postgres and Kafka are killed under load: each accepted task is done, and done once."""

import uuid

import httpx
import kubernetes

from contracts import endpoints
from contracts.http import DEMO
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.kubernetes.port_forward import forward
from stack.polling import poll_until
from stack.settings import load

TASKS = 60


def test_postgres_and_kafka_are_killed_under_load_and_every_accepted_task_completes() -> None:
    settings = load("local")
    namespace = settings.cluster.namespace
    client = connect(settings.cluster)
    core = kubernetes.client.CoreV1Api(client)
    page = endpoints.url(GATEWAY, endpoints.SERVICE_PORT) + DEMO

    def kill(pod: str) -> None:
        # SIGKILL after one second. With 0 the next pod could start on the data of a pod that still runs.
        core.delete_namespaced_pod(pod, namespace, grace_period_seconds=1)

    with (
        forward(client, namespace, GATEWAY, endpoints.SERVICE_PORT) as address,
        httpx.Client(base_url=address, timeout=15.0) as gateway,
    ):

        def submit(number: int) -> str:
            body = {"user_email": f"{number}@example.com", "user_query": f"outage {number}", "base_url": page}
            # The same key in each attempt: a lost answer must not make a second task.
            key = str(uuid.uuid4())

            def accepted() -> str | None:
                answer = gateway.post("/api/tasks", json=body, headers={"Idempotency-Key": key})
                if answer.status_code == 503:
                    return None
                assert answer.status_code == 202, answer.text
                return str(answer.json()["id"])

            return poll_until(
                f"task {number} to be accepted", accepted, seconds=120, every=0.25, look_at="kubectl get pods"
            )

        ids = []
        for number in range(TASKS):
            if number == TASKS // 3:
                kill("postgres-0")
            if number == 2 * TASKS // 3:
                kill("kafka-0")
            ids.append(submit(number))
        assert len(set(ids)) == TASKS

        def finished() -> bool:
            answers = [gateway.get(f"/api/tasks/{task}") for task in ids]
            return all(answer.is_success and answer.json()["status"] != "new" for answer in answers)

        poll_until(
            "all accepted tasks to be finished",
            finished,
            seconds=180,
            every=0.25,
            look_at=f"kubectl -n {namespace} logs deploy/task-manager",
        )
        ended = [gateway.get(f"/api/tasks/{task}").json() for task in ids]
    assert [task for task in ended if task["status"] != "completed"] == []
