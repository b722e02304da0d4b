"""Changes of Kafka's topics that are faults while they last."""

import subprocess
from dataclasses import dataclass
from typing import Final

from checks.chaos.cluster import LocalCluster
from checks.faults.changes import Plan
from contracts.services import TASK_MANAGER
from stack.polling import poll_until

_READY_SECONDS: Final = 60.0
# Kafka's clients connect to the address that the broker advertises, which only pods resolve. So this runs in a pod.
# It is the service's own user, so it has the variables of the service, which is process 1 there.
_PROGRAM: Final = """
import pathlib, sys
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
sys.path.insert(0, "/app")
from service.common.config import ServiceSettings
from service.common.kafka.client import client_configuration

action, topic, partitions = sys.argv[1:]
variables = pathlib.Path("/proc/1/environ").read_text().split("\\0")
settings = ServiceSettings.from_env(dict(line.split("=", 1) for line in variables if line))
admin = AdminClient(client_configuration(settings, "fault"))
existing = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
if action == "delete" and existing:
    admin.delete_topics([topic])[topic].result()
elif action == "create" and not existing:
    admin.create_topics([NewTopic(topic, num_partitions=int(partitions), replication_factor=-1)])[topic].result()
print(existing)
"""


@dataclass(frozen=True, kw_only=True)
class TopicDeleted:
    """A topic that does not exist, with the messages that it had."""

    topic: str
    partitions: int

    def apply(self, cluster: LocalCluster) -> None:
        _run(cluster, "delete", self.topic)

    def undo(self, cluster: LocalCluster) -> None:
        poll_until(
            "a pod of the task-manager", lambda: bool(cluster.ready(TASK_MANAGER)), seconds=_READY_SECONDS, every=0.25
        )
        _run(cluster, "create", self.topic, self.partitions)


def topic_deleted(topic: str) -> Plan:
    """A topic is deleted. No service creates it again while it runs."""
    return lambda cluster: TopicDeleted(topic=topic, partitions=_run(cluster, "count", topic))


def _run(cluster: LocalCluster, action: str, topic: str, partitions: int = 0) -> int:
    """Runs the program in a pod of the task-manager; returns the number of partitions before the action."""
    process = cluster.process(cluster.ready(TASK_MANAGER)[0])
    enter = ["nsenter", "--net", "--mount", f"--target={process}", "python3", "-c", _PROGRAM]
    arguments = [action, topic, str(partitions)]
    return int(subprocess.run([*enter, *arguments], check=True, capture_output=True, text=True).stdout)
