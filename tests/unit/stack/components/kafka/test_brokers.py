"""One broker or three: their configuration, their pods, and what is refused."""

from typing import Any

import pytest

from contracts.metadata import Manifest
from stack.components.kafka.config import bootstrap_servers, server_properties
from stack.components.kafka.settings import Kafka
from tests.support.configuration import refusal
from tests.support.program import dev_with


def properties(ordinal: int, brokers: int) -> dict[str, str]:
    """The configuration of a broker."""
    text = server_properties(ordinal, Kafka.model_validate({"brokers": brokers}))
    return dict(line.split("=", 1) for line in text.splitlines())


def kafka(brokers: int) -> dict[str, Manifest]:
    """The objects of Kafka in stack dev, by kind."""
    objects = dev_with(kafka={"brokers": brokers})
    return {kind: item for (kind, name), item in objects.items() if name in ("kafka", "kafka-config")}


def container(brokers: int) -> dict[str, Any]:
    (main,) = kafka(brokers)["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    return dict(main)


def test_three_brokers_have_three_copies_and_acknowledge_with_two() -> None:
    config = properties(1, 3)
    for key in ("default", "offsets.topic", "transaction.state.log"):
        assert config[f"{key}.replication.factor"] == "3"
    assert (config["min.insync.replicas"], config["transaction.state.log.min.isr"]) == ("2", "2")
    assert config["node.id"] == "2"
    assert config["advertised.listeners"] == "BROKER://kafka-1.kafka-pods:9092"
    voters = "1@kafka-0.kafka-pods:9093,2@kafka-1.kafka-pods:9093,3@kafka-2.kafka-pods:9093"
    assert {properties(ordinal, 3)["controller.quorum.voters"] for ordinal in range(3)} == {voters}


def test_a_lost_broker_of_three_is_replaced_before_a_service_gives_up() -> None:
    """If it led the controllers, they first elect another leader, which takes up to 8 s."""
    session = int(properties(1, 3)["broker.session.timeout.ms"])
    assert session + 8000 < 1000 * Kafka.model_validate({"brokers": 3}).publish_limit
    assert "broker.session.timeout.ms" not in properties(0, 1), "there is no other broker"


@pytest.mark.parametrize(
    ("settings", "milliseconds"),
    [({"brokers": 1}, "5000"), ({"brokers": 3}, "20000"), ({"brokers": 3, "publishSeconds": 30}, "30000")],
)
def test_a_service_waits_longer_where_another_broker_can_take_over(settings: dict[str, Any], milliseconds: str) -> None:
    (main,) = dev_with(kafka=settings)["Deployment", "gateway"]["spec"]["template"]["spec"]["containers"]
    values = {variable["name"]: variable.get("value") for variable in main["env"]}
    assert values["KAFKA_PUBLISH_TIMEOUT_MS"] == milliseconds


def test_the_first_of_three_is_the_one_of_one() -> None:
    """Its volume names its node; another id would be refused."""
    assert properties(0, 1)["node.id"] == properties(0, 3)["node.id"] == "1"


def test_new_controllers_reach_the_one_that_does_not_know_them_yet() -> None:
    """In a rolling update the first broker is the last that gets its new configuration."""
    assert "CONTROLLER://:9093" in properties(0, 1)["listeners"]


def test_clients_find_several_brokers_also_while_none_is_ready() -> None:
    assert (bootstrap_servers(1), bootstrap_servers(3)) == ("kafka:9092", "kafka-pods:9092")


def test_each_pod_reads_its_own_configuration() -> None:
    objects = kafka(3)
    files = objects["ConfigMap"]["data"]
    assert {"kafka-0.properties", "kafka-1.properties", "kafka-2.properties"} <= files.keys()
    assert container(3)["command"][-1] == "/etc/kafka-config/$(POD_NAME).properties"
    (init,) = objects["StatefulSet"]["spec"]["template"]["spec"]["initContainers"]
    assert init["args"][-1] == "/etc/kafka-config/$(POD_NAME).properties"
    assert init["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert objects["StatefulSet"]["spec"]["replicas"] == 3
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_one_of_several_is_ready_when_all_replicas_are_in_sync() -> None:
    probe = container(3)["startupProbe"]
    assert probe["exec"]["command"] == ["sh", "/etc/kafka-config/is_in_sync.sh"]
    assert "--under-replicated-partitions" in kafka(3)["ConfigMap"]["data"]["is_in_sync.sh"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 3600, "a large volume is copied before it counts"
    assert "exec" not in container(3)["readinessProbe"], "while one broker is unavailable, the others stay ready"
    assert "tcpSocket" in container(1)["startupProbe"]


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"brokers": 4}, "kafka.brokers"), ({"brokers": 3, "memory": "512Mi"}, "memory 512Mi is less than 768Mi")],
)
def test_numbers_and_sizes_that_cannot_work_are_refused(settings: dict[str, Any], part: str) -> None:
    assert part in refusal(kafka=settings)
