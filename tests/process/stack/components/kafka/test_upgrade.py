"""Real brokers: an upgrade from the version before keeps every message, and can be finished."""

from pathlib import Path

import pytest

from checks.harness.kafka import KafkaBrokers
from service.common.kafka.topics import create_missing_topics
from stack.components.kafka.component import RELEASE
from stack.components.kafka.settings import Kafka
from tests.process.stack.components.kafka.test_brokers import TOPIC, send, stored
from tests.support.kafka_process import previous_libraries


def level(brokers: KafkaBrokers) -> str:
    """The version whose features the brokers use."""
    output = brokers.run(
        "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", brokers.bootstrap_servers, "describe"
    )
    (line,) = (line for line in output.splitlines() if line.startswith("Feature: metadata.version"))
    return line.partition("FinalizedVersionLevel: ")[2].partition("-")[0]


@pytest.mark.nightly
def test_an_upgrade_keeps_every_message(tmp_path: Path, class_path: str) -> None:
    brokers = KafkaBrokers(tmp_path, previous_libraries())
    try:
        brokers.configure(Kafka())
        brokers.start(0)
        brokers.wait(0)
        create_missing_topics({"bootstrap.servers": brokers.bootstrap_servers}, [TOPIC], 3)
        acknowledged = send(brokers, range(100))
        assert level(brokers) < RELEASE

        brokers.stop(0)
        brokers.upgrade(class_path)
        brokers.start(0)
        brokers.wait(0)
        brokers.finish_upgrade()
        assert level(brokers) == RELEASE
        acknowledged += send(brokers, range(100, 200))
        assert len(acknowledged) == 200
        assert sorted(stored(brokers, 200)) == sorted(acknowledged)
    finally:
        brokers.kill()
