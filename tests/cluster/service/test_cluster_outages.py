"""Postgres and Kafka are killed under load: each accepted task is done, and done once."""

import kubernetes

from stack.kubernetes.client import connect
from stack.settings import load
from tests.support.accepted_tasks import accepted_tasks

TASKS = 60


def test_postgres_and_kafka_are_killed_under_load_and_every_accepted_task_completes() -> None:
    settings = load("local")
    core = kubernetes.client.CoreV1Api(connect(settings.cluster))

    def kill(pod: str) -> None:
        # SIGKILL after one second. With 0 the next pod could start on the data of a pod that still runs.
        core.delete_namespaced_pod(pod, settings.cluster.namespace, grace_period_seconds=1)

    with accepted_tasks(settings) as tasks:
        for number in range(TASKS):
            if number == TASKS // 3:
                kill("postgres-0")
            if number == 2 * TASKS // 3:
                kill("kafka-0")
            tasks.submit(number)
        tasks.require_completed()
